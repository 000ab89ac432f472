'use strict'

/*
 * The tap on a request's body. The parser hands each chunk to `req.push`. The tap replaces that method: it counts each chunk in Rust,
 * in front of any consumer. A `'data'` listener would start the stream; this changes nothing for its readers.
 *
 *   open ──> complete ──> refused ──> drained
 *     └────────────────────┘
 *
 * open      more of the body may come
 * complete  its end has come
 * refused   nothing of it reaches a reader any more; what still comes is dropped, with its end, or a cut body would look whole
 * drained   refused, and its end has come
 *
 * Apart from that the request is over at some time (`ended`), and its counter is freed. A handler that has answered may still read,
 * within the same limit: from then on the tap counts in JavaScript.
 */

const { Readable } = require('node:stream')
const { native } = require('../core/addon.js')
const spans = require('../request/async-spans.js')
const { anyStateOf, atEnd, lastingState } = require('../request/lifecycle.js')
const { onFirstRead } = require('./first-read.js')
const counters = native ?? require('./js-counter.js')

const OPEN = 'open'
const COMPLETE = 'complete'
const REFUSED = 'refused'
const DRAINED = 'drained'

class Tap {
  constructor(req, res, slot) {
    this.req = req
    this.res = res
    this.state = req._readableState?.ended === true ? COMPLETE : OPEN
    this.ended = false
    /** As the headers announced it, before they were those of an inflated body. */
    this.length = announcedLength(req)
    /** The native counter; 0 once the request is over. From then on `counted` is kept here. */
    this.counter = counters.tapOpen(Number.POSITIVE_INFINITY)
    this.counted = 0
    /** The tracker's slot; 0 if the request is not tracked. */
    this.slot = slot
    this.push = req.push

    this.limit = Number.POSITIVE_INFINITY
    /** Called as `(req, res, received, limit)` at the first byte beyond the limit. */
    this.onExcess = null
    /** How many limits the request has passed: the last is the nearest. */
    this.limits = 0
    /** How many of them wait for the first read, and whether the end of the body is held back until then. */
    this.deferred = 0
    this.endHeld = false
    /** Limits that are only reported: `{ limit, passed(received) }`, each once. */
    this.watched = []
    /** What the body holds of the budget (budget.js). */
    this.room = null
    /** Receives the chunks instead of the readers: `{ take(chunk), made, decoderBytes }` (decompress.js). */
    this.inflating = null

    /** Called when no more of the body is awaited, and when a refused body has drained. */
    this.settleListeners = []
    this.drainListener = null
  }

  get isRefused() {
    return this.state === REFUSED || this.state === DRAINED
  }

  get isDrained() {
    return this.state === DRAINED
  }

  /** Whether the body is inflated between here and its readers. */
  get isInflated() {
    return this.inflating !== null
  }

  /** Bytes of memory that the decoder of an inflated body holds. */
  get decoderBytes() {
    return this.inflating?.decoderBytes ?? 0
  }

  /** Bytes that have come on the wire. */
  get arrived() {
    return this.counter === 0 ? this.counted : counters.tapReceived(this.counter)
  }

  /** Bytes of the body so far: of an inflated body those that were made, if they are more than have come. */
  get received() {
    return this.inflating === null ? this.arrived : Math.max(this.arrived, this.inflating.made)
  }

  /** Bytes of a declared length that are still to come; infinity if none was declared. */
  get remaining() {
    return this.length >= 0 ? this.length - this.arrived : Number.POSITIVE_INFINITY
  }

  /** What counts for the rate of the body: bytes on the wire, bytes held of the budget, and whether it waits for the app. */
  progress() {
    const { req, res } = this
    const isFull = req.readableLength > 0 && req.readableLength >= req.readableHighWaterMark
    const awaitsContinue = res._expect_continue === true && res._sent100 !== true
    return {
      bytes: this.arrived,
      reserved: this.room?.held ?? 0,
      isBackpressured: isFull || awaitsContinue || this.inflating?.isBehind() === true
    }
  }

  /** Counts the body for `slot` as well. */
  attach(slot) {
    if (this.slot === slot) return
    // A limit came before the tracker.
    this.slot = slot
    native.tapAttach(this.counter, slot)
  }

  /**
   * Bounds the body. A limit that was set before can only be lowered. True if more has come already. Otherwise
   * `onExcess(req, res, received, limit)` is called at the first byte beyond it; neither that chunk nor anything after it reaches a
   * consumer.
   */
  bound(limit, onExcess) {
    if (limit >= this.limit) return false
    this.limit = limit
    this.onExcess = onExcess
    const exceeds = this.counter === 0 ? this.counted > limit : counters.tapLower(this.counter, limit)
    return exceeds || this.received > limit
  }

  /** Calls `passed(received)` once when more than `limit` bytes have come. Refuses nothing. */
  watch(limit, passed) {
    const { received } = this
    if (received > limit) passed(received)
    else this.watched.push({ limit, passed })
  }

  notifyWatchers(received) {
    const due = this.watched.filter(({ limit }) => received > limit)
    if (due.length === 0) return
    this.watched = this.watched.filter(watcher => !due.includes(watcher))
    for (const { passed } of due) passed(received)
  }

  /** Of several limits that wait for the first read, the nearest decides: returns a function that says whether it is this one. */
  claimPriority() {
    this.limits += 1
    const own = this.limits
    return () => this.limits === own
  }

  /**
   * Calls `decide()` at the first read. A stream that has ended before is read without being asked for more, so its end is held back
   * until then.
   */
  deferDecision(decide) {
    this.deferred += 1
    onFirstRead(this.req, () => {
      decide()
      this.deferred -= 1
      // The read that is under way gets nothing of what was buffered.
      const streamState = this.req._readableState
      if (this.isRefused && streamState !== undefined) streamState.length = 0
      if (this.deferred > 0 || !this.endHeld || this.isRefused) return
      this.endHeld = false
      this.handOn(null)
    })
  }

  /** The body's room in the budget, made by `make()` if there is none; null once it was refused or the request is over. */
  roomOf(make) {
    if (this.ended || this.isRefused) return null
    this.room ??= make()
    return this.room
  }

  /** Takes room for what the body has grown to. True if there was none, and it was refused. */
  exceedsBudget() {
    const { room } = this
    if (room === null || room.grow(this.received, this.decoderBytes)) return false
    const { onBudgetExceeded } = room
    // It was refused, or reported, before.
    if (onBudgetExceeded === null) return false
    room.onBudgetExceeded = null
    onBudgetExceeded()
    return this.isRefused
  }

  /** From now on nothing of the body reaches a reader. */
  refuse() {
    if (!this.isRefused) {
      this.state = this.req.complete ? DRAINED : REFUSED
      if (this.isDrained) releaseParser(this.req)
    }
    // Its readers drop what they have. Without this, bodies that grow alike are refused together, and none comes through.
    this.releaseRoom()
    this.settle()
  }

  releaseRoom() {
    this.room?.shrink(0)
    this.room = null
  }

  /**
   * Calls `listener()` once no more of the body is awaited, at once if that is so now: its end has come, it was refused, or the request
   * is over. What holds the request because of its body must release it then.
   */
  onSettled(listener) {
    if (this.state !== OPEN || this.ended) listener()
    else this.settleListeners.push(listener)
  }

  settle() {
    const listeners = this.settleListeners
    this.settleListeners = []
    for (const listener of listeners) listener()
  }

  /** Calls `listener()` when a refused body has drained. */
  onDrained(listener) {
    this.drainListener = listener
  }

  /** A chunk from the parser, null for the end. Returns whether more is welcome. */
  receive(chunk, encoding) {
    if (this.isRefused) {
      if (chunk === null) this.drain()
      return true
    }
    if (chunk === null) {
      this.state = COMPLETE
      this.settle()
      if (this.deferred === 0) return this.handOn(null)
      this.endHeld = true
      return true
    }
    const bytes = typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : chunk.length
    if (this.count(bytes) && this.onExcess !== null) {
      this.state = REFUSED
      this.settle()
      this.onExcess(this.req, this.res, this.received, this.limit)
      return true
    }
    if (this.exceedsBudget()) return true
    if (this.watched.length > 0) this.notifyWatchers(this.received)
    return this.handOn(chunk, encoding)
  }

  /** True if more than the limit has come. */
  count(bytes) {
    if (this.counter !== 0) return counters.tapCount(this.counter, this.slot, bytes)
    this.counted += bytes
    return this.counted > this.limit
  }

  handOn(chunk, encoding) {
    return this.inflating === null ? this.pass(chunk, encoding) : this.inflating.take(chunk, encoding)
  }

  /** Hands a chunk to the readers. */
  pass(chunk, encoding) {
    const { req, push, slot } = this
    if (slot > 0 && spans.state.open) return spans.run(slot, push, req, [chunk, encoding])
    return push.call(req, chunk, encoding)
  }

  drain() {
    this.state = DRAINED
    releaseParser(this.req)
    this.drainListener?.()
    this.drainListener = null
  }

  /** The request is over. */
  close() {
    this.ended = true
    this.settle()
    this.releaseRoom()
    if (this.counter === 0) return
    this.counted = counters.tapReceived(this.counter)
    counters.tapClose(this.counter)
    this.counter = 0
  }
}

/** Node does this at a request's `'end'`. A refused one has none, and an idle connection would retain it. */
function releaseParser(req) {
  const parser = req.socket?.parser
  if (parser?.incoming === req) parser.incoming = null
}

/**
 * Bytes of the body as the headers announce it: undefined if no body can come, -1 for one without a length. The parser makes sure that
 * bodies of HTTP/1 are announced; those of HTTP/2 need not be.
 */
function announcedLength(req, headers = req.headers) {
  if (!headers) return undefined
  if (headers['transfer-encoding'] !== undefined) return -1
  const length = headers['content-length']
  if (length !== undefined) return Number(length)
  return headers[':method'] !== undefined && req.stream?.endAfterHeaders !== true ? -1 : undefined
}

/** The tap of a request; null if it has none. */
function existingTap(req) {
  return anyStateOf(req)?.tap ?? null
}

/** The tap of a request, created if there is none. */
function tapOf(req, res, slot = 0) {
  const known = existingTap(req)
  if (known !== null) return known
  const tap = new Tap(req, res, slot)
  lastingState(req, res).tap = tap
  if (typeof req.push === 'function') req.push = tappedPush
  atEnd(req, res, closeTap)
  // What the stream has buffered, behind an asynchronous middleware, has not passed the tap.
  if (req.readableLength > 0) tap.count(req.readableLength)
  return tap
}

function tappedPush(chunk, encoding) {
  const tap = existingTap(this)
  // Called with another `this`.
  if (tap === null) return Reflect.apply(Readable.prototype.push, this, [chunk, encoding])
  return tap.receive(chunk, encoding)
}

function closeTap(req) {
  existingTap(req).close()
}

/** Whether the body of this request was refused. */
function isRefused(req) {
  return existingTap(req)?.isRefused === true
}

module.exports = { announcedLength, existingTap, isRefused, tapOf }
