'use strict'

/*
 * The errors that guards hand to `next`: http-errors' shape and body-parser's types, so that handlers written for those work
 * unchanged.
 */

const createError = require('http-errors')

/** Of what all decoders may hold: from here on one with the largest window fits. */
const WINDOW_FITS_FROM = 12 * 2 ** 20

/**
 * 413. `length` is what was declared (then `expected` says so too), `received` what was counted; `ratio` the bound on how much a
 * body may grow, where it was that.
 */
function tooLarge({ limit, length, received, ratio }) {
  const detail = length === undefined ? { received } : { expected: length, length }
  if (ratio !== undefined) detail.ratio = ratio
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

/** 415, as body-parser makes it. */
function encodingUnsupported(encoding) {
  const message = `unsupported content encoding "${encoding}"`
  return createError(415, message, { type: 'encoding.unsupported', encoding })
}

/**
 * 415. Not of the type above: that, coming from a stream, body-parser takes for an unsupported charset; where it decodes none (`raw()`) it
 * throws, uncaught. `memory`: what all decoders together may hold.
 */
function windowTooLarge(encoding, memory) {
  const most = memory < WINDOW_FITS_FROM ? 'inflate.memory allows' : '8 MiB'
  return createError(415, `${encoding} window larger than ${most}`, { type: 'encoding.window', encoding })
}

/** 400. The codes are those of node:zlib, which body-parser passes on. */
function encodingInvalid(encoding, message, code) {
  return createError(400, message, { type: 'encoding.invalid', encoding, code })
}

/** A scope that is used behind the end of its request. No status: there is nobody to answer any more. */
function scopeOver(what) {
  const error = new Error(
    `plimsoll: ${what}: the scope ended with its request. Work that continues after the response must do its own cleanup`
  )
  return Object.assign(error, { code: 'ERR_PLIMSOLL_SCOPE_OVER' })
}

/** The reason of a scope's signal: in the shape of DOM's AbortError, which is what those who take signals look for. */
function clientGone() {
  const error = new Error('the client disconnected before the response was complete')
  return Object.assign(error, { name: 'AbortError', code: 'ERR_PLIMSOLL_CLIENT_GONE' })
}

module.exports = {
  scopeOver,
  clientGone,
  tooLarge,
  tooSlow,
  overBudget,
  overloaded,
  encodingUnsupported,
  windowTooLarge,
  encodingInvalid
}
