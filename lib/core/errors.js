'use strict'

/*
 * The errors that guards pass to `next`. They have the shape of http-errors and the types of body-parser, so that
 * existing handlers work unchanged.
 */

const createError = require('http-errors')

/** The least `memory` for all decoders with which the largest window fits. */
const WINDOW_FITS_FROM = 12 * 2 ** 20

/**
 * 413. `length` is the declared size (then `expected` equals it), `received` the counted one. `ratio` is the limit on
 *      how much a body may grow, if that was exceeded.
 */
function tooLarge({ limit, length, received, ratio }) {
  const detail = length === undefined ? { received } : { expected: length, length }
  if (ratio !== undefined) detail.ratio = ratio
  return createError(413, 'request entity too large', { type: 'entity.too.large', limit, ...detail })
}

/** 408. The body arrived more slowly than `limit` bytes a second. */
function tooSlow({ limit, length, received }) {
  const detail = length === -1 ? {} : { expected: length, length }
  return createError(408, 'request body too slow', { type: 'request.too.slow', limit, received, ...detail })
}

/** 503. There is no room for this body in addition to the `inFlight` bytes of others. `limit` is the budget. */
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
 * Under load, errors are created often. A stack says nothing about a refused request, and Express would print it for
 * each.
 */
function withoutStack(make) {
  const { stackTraceLimit } = Error
  // Reflect.set instead of an assignment, which would throw if the intrinsics are frozen.
  Reflect.set(Error, 'stackTraceLimit', 0)
  try {
    return make()
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
}

/** 415, in the form of body-parser. */
function encodingUnsupported(encoding) {
  const message = `unsupported content encoding "${encoding}"`
  return createError(415, message, { type: 'encoding.unsupported', encoding })
}

/**
 * 415. Its type is not the one above. From a stream, body-parser interprets that as an unsupported charset. `raw()`,
 *      which decodes no charset, throws it uncaught. `memory`: bytes that all decoders together may use.
 */
function windowTooLarge(encoding, memory) {
  const most = memory < WINDOW_FITS_FROM ? 'inflate.memory allows' : '8 MiB'
  return createError(415, `${encoding} window larger than ${most}`, { type: 'encoding.window', encoding })
}

/** 400. The codes are those of node:zlib, which body-parser passes on. */
function encodingInvalid(encoding, message, code) {
  return createError(400, message, { type: 'encoding.invalid', encoding, code })
}

/** A scope was used after the end of its request. The error has no status, since there is no response any more. */
function scopeOver(what) {
  const error = new Error(
    `plimsoll: ${what}: the scope ended with its request. Work that continues after the response must do its own cleanup`
  )
  return Object.assign(error, { code: 'ERR_PLIMSOLL_SCOPE_OVER' })
}

/** The reason of a scope's signal. It has the shape of the DOM's AbortError, which users of signals check for. */
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
