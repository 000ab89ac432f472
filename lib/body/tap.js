'use strict'

/*
 * The tap on a request's body. The parser passes each chunk to `req.push`. The tap replaces that method and counts each
 * chunk in Rust, before any consumer receives it. A `'data'` listener would start the stream, while this changes
 * nothing for consumers.
 *
 *   open ──> complete ──> refused ──> drained
 *     └────────────────────┘
 *
 * - open: more of the body may arrive.
 * - complete: its end has arrived.
 * - refused: consumers receive nothing more. What still arrives is dropped, with its end, because a cut body would look
 *   complete.
 * - drained: refused, and its end has arrived.
 *
 * Independently of that, the request ends at some time (`ended`), and its counter is freed. A handler may continue to
 * read after its response, within the same limit. From then on the tap counts in JavaScript.
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
    /** From the original headers, before those of an inflated body replace them. */
    this.length = announcedLength(req)
    /** The native counter, or 0 after the end of the request. From then on `counted` is used. */
    this.counter = counters.tapOpen(Number.POSITIVE_INFINITY)
    this.counted = 0
    /** The tracker's slot, or 0 if the request is not tracked. */
    this.slot = slot
    this.push = req.push

    this.limit = Number.POSITIVE_INFINITY
    /** Called as `(req, res, received, limit)` at the first byte over the limit. */
    this.onExcess = null
    /** Number of limits that the request has passed. The last is the nearest to the consumer. */
    this.limits = 0
    /** Number of limits that wait for the first read, and whether the end of the body is deferred until then. */
    this.deferred = 0
    this.endHeld = false
    /** Limits that only report: `{ limit, passed(received) }`, each once. */
    this.watched = []
    /** The body's room in the budget (budget.js). */
    this.room = null
    /** Receives the chunks instead of the consumers: `{ take(chunk), made, decoderBytes }` (decompress.js). */
    this.inflating = null

    /** Called when no more of the body is expected, and when a refused body has drained. */
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

  /** Bytes of memory that the decoder of an inflated body uses. */
  get decoderBytes() {
    return this.inflating?.decoderBytes ?? 0
  }

  /** Bytes that have arrived on the connection. */
  get arrived() {
    return this.counter === 0 ? this.counted : counters.tapReceived(this.counter)
  }

  /**
   * Bytes of the body so far. For an inflated body it is the inflated size, if that is larger than the received size.
   */
  get received() {
    return this.inflating === null ? this.arrived : Math.max(this.arrived, this.inflating.made)
  }

  /** Bytes of a declared length that have not arrived. Infinity if none was declared. */
  get remaining() {
    return this.length >= 0 ? this.length - this.arrived : Number.POSITIVE_INFINITY
  }

  /**
   * The input for the body's rate: bytes on the connection, bytes of room in the budget, and whether it waits for the
   * app.
   */
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
    // A limit created the tap before the tracker.
    this.slot = slot
    native.tapAttach(this.counter, slot)
  }

  /**
   * Limits the body. A limit that was set before can only be lowered. Returns true if more has arrived already.
   * Otherwise `onExcess(req, res, received, limit)` is called at the first byte over it. Neither that chunk nor a later
   * one reaches a consumer.
   */
  bound(limit, onExcess) {
    if (limit >= this.limit) return false
    this.limit = limit
    this.onExcess = onExcess
    const exceeds = this.counter === 0 ? this.counted > limit : counters.tapLower(this.counter, limit)
    return exceeds || this.received > limit
  }

  /** Calls `passed(received)` once when more than `limit` bytes have arrived. Refuses nothing. */
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

  /**
   * Of several limits that wait for the first read, the nearest decides. Returns a function that returns whether it is
   * this one.
   */
  claimPriority() {
    this.limits += 1
    const own = this.limits
    return () => this.limits === own
  }

  /**
   * Calls `decide()` at the first read. A stream that has ended before is read without a call of `_read`, so its end is
   * deferred until then.
   */
  deferDecision(decide) {
    this.deferred += 1
    onFirstRead(this.req, () => {
      decide()
      this.deferred -= 1
      // The present read must not return what was buffered.
      const streamState = this.req._readableState
      if (this.isRefused && streamState !== undefined) streamState.length = 0
      if (this.deferred > 0 || !this.endHeld || this.isRefused) return
      this.endHeld = false
      this.handOn(null)
    })
  }

  /**
   * The body's room in the budget, created with `make()` if there is none. Null once it was refused or the request is
   * over.
   */
  roomOf(make) {
    if (this.ended || this.isRefused) return null
    this.room ??= make()
    return this.room
  }

  /** Takes room for the present size of the body. Returns true if there was none, and the body was refused. */
  exceedsBudget() {
    const { room } = this
    if (room === null || room.grow(this.received, this.decoderBytes)) return false
    const { onBudgetExceeded } = room
    // It was refused or reported before.
    if (onBudgetExceeded === null) return false
    room.onBudgetExceeded = null
    onBudgetExceeded()
    return this.isRefused
  }

  /** From now on nothing of the body reaches a consumer. */
  refuse() {
    if (!this.isRefused) {
      this.state = this.req.complete ? DRAINED : REFUSED
      if (this.isDrained) releaseParser(this.req)
    }
    // Its consumers drop their data. Without this, bodies that grow at the same rate would all be refused together.
    this.releaseRoom()
    this.settle()
  }

  releaseRoom() {
    this.room?.shrink(0)
    this.room = null
  }

  /**
   * Calls `listener()` once no more of the body is expected (its end has arrived, it was refused, or the request is
   * over), possibly at once. What retains the request because of its body must release it then.
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

  /** A chunk from the parser, or null for the end. Returns whether more is welcome. */
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

  /** Returns true if more than the limit has arrived. */
  count(bytes) {
    if (this.counter !== 0) return counters.tapCount(this.counter, this.slot, bytes)
    this.counted += bytes
    return this.counted > this.limit
  }

  handOn(chunk, encoding) {
    return this.inflating === null ? this.pass(chunk, encoding) : this.inflating.take(chunk, encoding)
  }

  /** Passes a chunk to the consumers. */
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

/** Node does this at a request's `'end'`. A refused request has none, and an idle connection would retain it. */
function releaseParser(req) {
  const parser = req.socket?.parser
  if (parser?.incoming === req) parser.incoming = null
}

/**
 * Bytes of the body as the headers announce it. Undefined if no body can arrive, -1 for one without a length. In HTTP/1
 * the parser ensures that bodies are announced. In HTTP/2 they need not be.
 */
function announcedLength(req, headers = req.headers) {
  if (!headers) return undefined
  if (headers['transfer-encoding'] !== undefined) return -1
  const length = headers['content-length']
  if (length !== undefined) return Number(length)
  return headers[':method'] !== undefined && req.stream?.endAfterHeaders !== true ? -1 : undefined
}

/** The tap of a request, or null. */
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
  // What the stream has buffered for an asynchronous middleware has not passed the tap.
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
