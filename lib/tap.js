'use strict'

/*
 * The tap on a request's body. The parser hands each chunk to `req.push`; the tap stands there, in front of whoever reads, and
 * counts in Rust. A `'data'` listener would set the stream flowing; this changes nothing for those behind it.
 */

const { native } = require('./native.js')
const { atEnd, isOver } = require('./lifetime.js')
const counters = native ?? require('./plain.js')

const TAP = Symbol('plimsoll.tap')

/** One request's tap; garbage with the request. */
class Tap {
  constructor(req, handle) {
    this.handle = handle
    this.slot = 0
    this.push = req.push
    /** Once true, nothing that still comes reaches anybody. */
    this.cut = false
    this.over = null
  }
}

/** Bytes that the headers promise; NaN if they promise none. */
function declaredLength(req) {
  const header = req.headers['content-length']
  return header === undefined ? Number.NaN : Number(header)
}

/** Whether body bytes can come. The parser sees to it that HTTP/1 bodies are announced; HTTP/2's need not be. */
function canHaveBody(req) {
  const { headers } = req
  if (headers['transfer-encoding'] !== undefined) return true
  if (req.stream !== undefined && req.httpVersionMajor === 2) return req.stream.endAfterHeaders !== true
  const length = headers['content-length']
  return length !== undefined && length !== '0'
}

function tapOf(req, res) {
  let tap = req[TAP]
  if (tap === undefined) {
    tap = new Tap(req, counters.tapOpen(Number.POSITIVE_INFINITY))
    req[TAP] = tap
    req.push = tappedPush
    atEnd(req, res, close)
    // What an asynchronous middleware in front has let the stream buffer was never seen by the tap.
    if (req.readableLength > 0) counters.tapCount(tap.handle, 0, req.readableLength)
  }
  return tap
}

/** Counts this request's body for `slot`. */
function watch(req, res, slot) {
  const tap = tapOf(req, res)
  tap.slot = slot
  native.tapAttach(tap.handle, slot)
}

/**
 * Bounds this request's body; a limit that was set before can only be lowered. True when more has come already; otherwise
 * `over(req, received)` is called at the first byte beyond it, and neither that chunk nor anything after it reaches a consumer.
 */
function bound(req, res, limit, over) {
  const tap = tapOf(req, res)
  if (counters.tapLower(tap.handle, limit)) return true
  tap.over = over
  return false
}

/** Lets nothing more of the body reach anybody. */
function cut(req, res) {
  tapOf(req, res).cut = true
}

/** True once the body was cut. */
function wasCut(req) {
  return req[TAP]?.cut === true
}

/** Body bytes that have come so far. */
function received(req) {
  const tap = req[TAP]
  return tap === undefined ? 0 : counters.tapReceived(tap.handle)
}

function tappedPush(chunk, encoding) {
  const tap = this[TAP]
  // After the end the server itself reads the rest off the wire.
  if (isOver(this)) return tap.push.call(this, chunk, encoding)
  // A cut body must not look whole: its end is dropped too.
  if (tap.cut) return true
  if (chunk !== null) {
    const bytes = typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : chunk.length
    if (counters.tapCount(tap.handle, tap.slot, bytes) && tap.over !== null) {
      tap.cut = true
      tap.over(this, counters.tapReceived(tap.handle))
      return true
    }
  }
  return tap.push.call(this, chunk, encoding)
}

function close(req) {
  counters.tapClose(req[TAP].handle)
}

module.exports = { declaredLength, canHaveBody, watch, bound, cut, wasCut, received }
