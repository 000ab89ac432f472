'use strict'

/*
 * The errors that guards hand to `next`: http-errors' shape and body-parser's types, so that handlers written for those work
 * unchanged.
 */

const createError = require('http-errors')

/** 413. `length` is what was declared (then `expected` says so too), `received` what was counted. */
function tooLarge({ limit, length, received }) {
  const detail = length === undefined ? { received } : { expected: length, length }
  return createError(413, 'request entity too large', { type: 'entity.too.large', limit, ...detail })
}

/** 408: the body came more slowly than `limit` bytes a second. */
function tooSlow({ limit, length, received }) {
  const detail = length === -1 ? {} : { expected: length, length }
  return createError(408, 'request body too slow', { type: 'request.too.slow', limit, received, ...detail })
}

/** 503: there is no room for this body beside the `inFlight` bytes of the others. `limit` is the budget. */
function overBudget({ limit, inFlight, length, received, retryAfterS }) {
  const detail = length === undefined ? { received } : { expected: length, length }
  const headers = { 'Retry-After': String(retryAfterS) }
  const properties = { type: 'budget.exceeded', headers, retryAfterS, limit, inFlight, ...detail }
  return withoutStack(() => createError(503, 'too many request bodies in flight', properties))
}

/** 503. */
function overloaded({ retryAfterS, priority }) {
  const headers = { 'Retry-After': String(retryAfterS) }
  return withoutStack(() =>
    createError(503, 'server overloaded', { type: 'server.overloaded', headers, retryAfterS, priority })
  )
}

/**
 * Under load errors are made often: a stack says nothing of a request that was refused, and would be printed by Express for
 * each.
 */
function withoutStack(make) {
  const { stackTraceLimit } = Error
  // No assignment: it would throw where the intrinsics are frozen.
  Reflect.set(Error, 'stackTraceLimit', 0)
  try {
    return make()
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
}

module.exports = { tooLarge, tooSlow, overBudget, overloaded }
