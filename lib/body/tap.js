'use strict'

/*
 * The tap on a request's body. The parser hands each chunk to `req.push`; the tap stands there, in front of whoever reads, and
 * counts in Rust. A `'data'` listener would set the stream flowing; this changes nothing for those behind it.
 */

const { Readable } = require('node:stream')
const { native } = require('../core/addon.js')
const spans = require('../request/async-spans.js')
const { anyLifeOf, atEnd, lastingLife } = require('../request/lifecycle.js')
const { onFirstRead } = require('./first-read.js')
const counters = native ?? require('./js-counter.js')

/** One request's tap; garbage with the request. */
class Tap {
  constructor(req, res, handle, slot) {
    this.res = res
    /** As the headers announced it, before they were those of an inflated body. */
    this.length = announcedLength(req)
    /** 0 where there is no counter (any more): then `received` is kept here. */
    this.handle = handle
    this.received = 0
    this.limit = Number.POSITIVE_INFINITY
    /** The tracker's; 0 where the request is not tracked. */
    this.slot = slot
    this.push = req.push
    /** Once true, nothing that still comes reaches anybody. */
    this.cut = false
    /** Whether a cut body has come to its end, and whom to tell. */
    this.drained = false
    this.onDrained = null
    this.over = null
    /** How many limits there have been: the last is the nearest. */
    this.limits = 0
    /** How many of them wait for the first read, and whether the body's end is held back until then. */
    this.waiting = 0
    this.endHeld = false
    /** What it holds of the budget (budget.js): `held` bytes; `grow(bytes)` takes more, `grown()` is called when there is none. */
    this.room = null
    /** Whether all of the body has come, and whether the request is over. */
    this.whole = false
    this.ended = false
    /** Called when no more of the body is awaited. */
    this.onOver = null
    /** Bounds that are only watched: `{ limit, passed(received) }`, each told once. */
    this.watched = null
    /** Takes the chunks instead of the readers: `{ take(chunk), made }` (decompress.js). */
    this.inflating = null
  }
}

/**
 * Bytes of the body as the headers announce it: undefined if none can come, -1 for one without a length. The parser sees to it
 * that HTTP/1 bodies are announced; HTTP/2's need not be.
 */
function announcedLength(req, headers = req.headers) {
  if (!headers) return undefined
  if (headers['transfer-encoding'] !== undefined) return -1
  const length = headers['content-length']
  if (length !== undefined) return Number(length)
  return headers[':method'] !== undefined && req.stream?.endAfterHeaders !== true ? -1 : undefined
}

/** The tap of a request; null if it has none. */
function existing(req) {
  const life = anyLifeOf(req)
  return life === undefined ? null : life.tap
}

function tapOf(req, res, slot = 0) {
  let tap = existing(req)
  if (tap === null) {
    tap = new Tap(req, res, counters.tapOpen(Number.POSITIVE_INFINITY), slot)
    lastingLife(req, res).tap = tap
    if (typeof req.push === 'function') req.push = tappedPush
    atEnd(req, res, close)
    // What an asynchronous middleware in front has let the stream buffer was never seen by the tap.
    if (req.readableLength > 0) count(tap, req.readableLength)
    tap.whole = req._readableState?.ended === true
  }
  return tap
}

/** Counts this request's body for `slot`. */
function watch(req, res, slot) {
  const tap = tapOf(req, res, slot)
  if (tap.slot === slot) return
  // A limit stands in front of the tracker.
  tap.slot = slot
  native.tapAttach(tap.handle, slot)
}

/**
 * Bounds this request's body; a limit that was set before can only be lowered. True when more has come already; otherwise
 * `over(req, res, received)` is called at the first byte beyond it, and neither that chunk nor anything after it reaches a consumer.
 */
function bound(req, res, limit, over) {
  const tap = tapOf(req, res)
  if (limit >= tap.limit) return false
  tap.limit = limit
  tap.over = over
  const beyond = tap.handle === 0 ? tap.received > limit : counters.tapLower(tap.handle, limit)
  return beyond || received(req) > limit
}

/** Of several limits that wait for the first read, the nearest decides: a function that tells whether it is this one. */
function overrule(req, res) {
  const tap = tapOf(req, res)
  tap.limits += 1
  const own = tap.limits
  return () => tap.limits === own
}

/**
 * Calls `decide()` when somebody begins to read. A stream that has ended before is read without being asked for more: so its end is
 * held back until then.
 */
function decideLate(req, res, decide) {
  const tap = tapOf(req, res)
  tap.waiting += 1
  onFirstRead(req, () => {
    decide()
    tap.waiting -= 1
    // What was buffered is over a limit now: the read that asks gets none of it.
    if (tap.cut && req._readableState !== undefined) req._readableState.length = 0
    if (tap.waiting > 0 || !tap.endHeld || tap.cut) return
    tap.endHeld = false
    handOn(tap, req, null)
  })
}

/** The room of a body in the budget, made by `make()` if need be; null once the request is over. */
function room(req, res, make) {
  const tap = tapOf(req, res)
  if (tap.ended) return null
  tap.room ??= make()
  return tap.room
}

function take(bytes, bound) {
  return counters.budgetReserve(bytes, bound)
}

function giveBack(bytes) {
  counters.budgetRelease(bytes)
}

/** Bytes that all bodies in flight hold of the budget. */
function inFlight() {
  return counters.budgetInFlight()
}

/** Calls `passed(received)` once when more than `limit` bytes have come, and lets them through. */
function watchOver(req, res, limit, passed) {
  const tap = tapOf(req, res)
  const bytes = received(req)
  if (bytes > limit) passed(bytes)
  else tap.watched = [...(tap.watched ?? []), { limit, passed }]
}

function tellWatchers(tap, bytes) {
  const due = tap.watched.filter(({ limit }) => bytes > limit)
  if (due.length === 0) return
  tap.watched = tap.watched.filter(watcher => !due.includes(watcher))
  for (const { passed } of due) passed(bytes)
}

/** Lets nothing more of the body reach anybody. */
function cut(req, res) {
  const tap = tapOf(req, res)
  if (!tap.cut && req.complete) {
    tap.drained = true
    forget(req)
  }
  tap.cut = true
  bodyOver(tap)
}

/** True once the body was cut. */
function wasCut(req) {
  return existing(req)?.cut === true
}

/** Bytes that are still to come of a declared length; infinity where none was declared. */
function remaining(req) {
  const tap = existing(req)
  return tap.length >= 0 ? tap.length - arrived(tap) : Number.POSITIVE_INFINITY
}

/**
 * Calls `over()` once, at once when no more of the body is awaited: it has come, it was cut, or the request is over. What holds the request
 * for the sake of its body must let go then.
 */
function whenOver(req, res, over) {
  const tap = tapOf(req, res)
  if (tap.cut || tap.whole || tap.ended) over()
  else if (tap.onOver === null) tap.onOver = [over]
  else tap.onOver.push(over)
}

function bodyOver(tap) {
  const { onOver } = tap
  if (onOver === null) return
  tap.onOver = null
  for (const over of onOver) over()
}

/** Whether a cut body has come to its end. */
function isDrained(req) {
  return existing(req)?.drained === true
}

/** Calls `drained()` when a cut body has come to its end. */
function whenDrained(req, drained) {
  existing(req).onDrained = drained
}

/** Body bytes that have come so far; of a body that is inflated, those that were made of them, if they are more. */
function received(req) {
  const tap = existing(req)
  if (tap === null) return 0
  const bytes = arrived(tap)
  return tap.inflating === null ? bytes : Math.max(bytes, tap.inflating.made)
}

/** Bytes that have come on the wire. */
function arrived(tap) {
  return tap.handle === 0 ? tap.received : counters.tapReceived(tap.handle)
}

/** Of a body's way to its reader: what has come on the wire, and whether it is the app that is waited for, since it does not take it. */
function progress(req, res) {
  const tap = existing(req)
  const full = req.readableLength > 0 && req.readableLength >= req.readableHighWaterMark
  const untold = res._expect_continue === true && res._sent100 !== true
  return {
    bytes: arrived(tap),
    reserved: tap.room?.held ?? 0,
    heldUp: full || untold || tap.inflating?.isBehind() === true
  }
}

/** True when more than the limit has come. */
function count(tap, bytes) {
  if (tap.handle !== 0) return counters.tapCount(tap.handle, tap.slot, bytes)
  tap.received += bytes
  return tap.received > tap.limit
}

function tappedPush(chunk, encoding) {
  const tap = existing(this)
  // Called with another `this`.
  if (tap === null) return Reflect.apply(Readable.prototype.push, this, [chunk, encoding])
  // A cut body must not look whole: its end is dropped too.
  if (tap.cut) {
    if (chunk === null) drain(this, tap)
    return true
  }
  if (chunk !== null) {
    const bytes = typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : chunk.length
    if (count(tap, bytes) && tap.over !== null) {
      tap.cut = true
      bodyOver(tap)
      tap.over(this, tap.res, received(this), tap.limit)
      return true
    }
    if (outgrows(this, tap)) return true
    if (tap.watched !== null) tellWatchers(tap, received(this))
  } else {
    tap.whole = true
    bodyOver(tap)
    if (tap.waiting > 0) {
      tap.endHeld = true
      return true
    }
  }
  return handOn(tap, this, chunk, encoding)
}

/** Takes room in the budget for what a body has grown to; true if there was none, and it was cut. */
function outgrows(req, tap) {
  const { room } = tap
  if (room === null || room.grow(received(req), tap.inflating?.decoderBytes ?? 0)) return false
  const { grown } = room
  // It was refused, or reported, before.
  if (grown === null) return false
  room.grown = null
  grown()
  return tap.cut
}

function handOn(tap, req, chunk, encoding) {
  return tap.inflating === null ? pass(tap, req, chunk, encoding) : tap.inflating.take(chunk, encoding)
}

/** Hands a chunk to the readers. */
function pass(tap, req, chunk, encoding) {
  if (tap.slot > 0 && spans.state.open) return spans.run(tap.slot, tap.push, req, [chunk, encoding])
  return tap.push.call(req, chunk, encoding)
}

function drain(req, tap) {
  forget(req)
  tap.drained = true
  tap.onDrained?.()
  tap.onDrained = null
}

/** What Node does at a request's `'end'`, which a cut one never has: else an idle connection keeps it. */
function forget(req) {
  const parser = req.socket?.parser
  if (parser?.incoming === req) parser.incoming = null
}

/** The counter goes with the request's end; a handler that has answered may still read on, within the same limit. */
function close(req) {
  const tap = existing(req)
  tap.ended = true
  bodyOver(tap)
  tap.room?.shrink(0)
  tap.room = null
  if (tap.handle === 0) return
  tap.received = counters.tapReceived(tap.handle)
  counters.tapClose(tap.handle)
  tap.handle = 0
}

/** Bytes of memory that the decoder of an inflated body holds. */
function decoderBytes(req) {
  return existing(req)?.inflating?.decoderBytes ?? 0
}

/** Whether the body is inflated between here and its readers. */
function isInflated(req) {
  return existing(req)?.inflating != null
}

module.exports = {
  announcedLength,
  watch,
  watchOver,
  tellWatchers,
  tapOf,
  pass,
  outgrows,
  progress,
  isInflated,
  decoderBytes,
  bound,
  overrule,
  decideLate,
  room,
  take,
  giveBack,
  inFlight,
  whenOver,
  cut,
  wasCut,
  remaining,
  isDrained,
  whenDrained,
  received
}
