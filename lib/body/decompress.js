'use strict'

/*
 * Inflates a compressed body between the tap and its readers, which receive an identity body.
 *
 * Nothing is inflated before a consumer reads. From then on, the reader's stream requests data, and one step (64 KiB)
 * is made for each request. Without a request nothing is made, and the socket is not read. A small chunk is inflated
 * synchronously. Larger ones, and all of br, run on libuv's pool (src/binding/inflate.rs).
 *
 * The headers describe what readers receive. There is no Content-Encoding, and no Content-Length, since raw-body
 * compares it with the received bytes. `Transfer-Encoding: chunked` shows type-is (body-parser, multer) that there is a
 * body at all.
 */

const { native } = require('../core/addon.js')
const { encodingInvalid, encodingUnsupported, overBudget, tooLarge, windowTooLarge } = require('../core/errors.js')
const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')
const { atEnd } = require('../request/lifecycle.js')
const { retryAfterS } = require('./budget.js')
const reading = require('./first-read.js')
const refuse = require('./refuse.js')
const { tapOf } = require('./tap.js')

const DEFAULTS = { ratio: 100, threshold: 2 ** 20, memory: 64 * 2 ** 20 }
/** Bytes that are passed to native code at once, which copies them. */
const PIECE_BYTES = 2 ** 16
let warned = false

/** The checked option of `limit()`: `{ ratio, threshold, memory }`, or null if nothing is inflated. */
function settings(where, given = false) {
  if (given === false) return null
  if (given !== true && !options.isObject(given)) {
    options.fail(where, given, 'true, false, or an object with ratio, threshold, memory')
  }
  const { ratio, threshold, memory } = options.object(where, given === true ? undefined : given, Object.keys(DEFAULTS))
  const checked = {
    ratio: ratio === undefined ? DEFAULTS.ratio : atLeastOne(`${where}.ratio`, ratio),
    threshold: threshold === undefined ? DEFAULTS.threshold : options.size(`${where}.threshold`, threshold),
    memory: memory === undefined ? DEFAULTS.memory : options.size(`${where}.memory`, memory)
  }
  if (native !== null) return checked
  warn()
  return null
}

function atLeastOne(where, value) {
  return typeof value === 'number' && value >= 1 ? value : options.fail(where, value, 'a number from 1, or Infinity')
}

function warn() {
  if (warned) return
  warned = true
  process.emitWarning(
    'plimsoll: bodies are not inflated without the binary. Compressed bodies are passed on with their ' +
      'Content-Encoding, and limit() bounds their compressed size. Code that inflates them must bound the inflated size',
    { code: 'PLIMSOLL_NO_INFLATE' }
  )
}

function encodingOf(req) {
  const encoding = req.headers['content-encoding']
  return encoding === undefined ? 'identity' : encoding.trim().toLowerCase() || 'identity'
}

/** Whether a body is inflated. A body that a consumer has begun to read is left alone, and so is a refused one. */
function applies(given, req, length) {
  if (given === null || length === undefined || encodingOf(req) === 'identity') return false
  return !req.readableDidRead && !req.destroyed
}

/**
 * From now on consumers read an identity body. Returns the error for a body that cannot be inflated, otherwise null.
 * `caps` are those of a refused connection. `grew(excess)` is called for a body that grows too much. Without `grew`,
 * that body is refused and counted.
 */
function begin(given, req, res, length, { caps, note, grew }) {
  if (!applies(given, req, length)) return null
  if (length === 0) {
    deleteHeader(req, 'content-encoding')
    return null
  }
  const encoding = encodingOf(req)
  const { ratio, threshold, memory } = given
  const body = native.inflateOpen({ encoding, ratio, threshold, memory })
  if (body === null) return encodingUnsupported(encoding)
  const tap = tapOf(req, res)
  tap.inflating = new Inflating(req, tap, body, { encoding, ratio, memory, caps, note, grew })
  deleteHeader(req, 'content-encoding')
  deleteHeader(req, 'content-length')
  if (req.headers['transfer-encoding'] === undefined) {
    req.headers['transfer-encoding'] = 'chunked'
    req.rawHeaders.push('Transfer-Encoding', 'chunked')
    if (req.headersDistinct !== undefined) req.headersDistinct['transfer-encoding'] = ['chunked']
  }
  return null
}

/**
 * Node creates `headersDistinct` from the raw headers on first access, and relies on their number. So it is read first.
 */
function deleteHeader(req, name) {
  delete req.headers[name]
  const { rawHeaders, headersDistinct } = req
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    if (rawHeaders[i].toLowerCase() === name) rawHeaders.splice(i, 2)
  }
  if (headersDistinct !== undefined) delete headersDistinct[name]
}

/** One body. */
class Inflating {
  constructor(req, tap, body, { encoding, ratio, memory, caps, note, grew }) {
    this.req = req
    this.tap = tap
    /** The native half. `close` frees its memory. */
    this.body = body
    this.encoding = encoding
    this.ratio = ratio
    this.memory = memory
    this.caps = caps
    this.note = note
    this.grew = grew
    /** Bytes passed to the readers. */
    this.made = 0
    /** Bytes of the decoder's memory. */
    this.decoderBytes = 0
    /** Bytes that have arrived and are not decoded yet. */
    this.pieces = []
    this.waiting = 0
    this.ended = false
    /** Whether the readers' stream has begun to request data, and requests more. */
    this.begun = false
    this.asked = false
    /** Whether more output can be made from the decoded input. */
    this.more = false
    /** A step is running: `step` further up the stack, or another thread. */
    this.busy = false
    this.onPool = false
    this.closed = false
    this.connection = null
    this.close = this.close.bind(this)
    this.read = req._read
    this.takeBack()
    req._read = () => this.ask()
    req.once('close', this.close)
    atEnd(req, tap.res, () => this.outlive())
  }

  /** Takes back what an earlier asynchronous middleware has let the stream buffer, with its end. */
  takeBack() {
    const { req } = this
    const state = req._readableState
    const { reading, ended, dataEmitted } = state
    if (req.readableLength > 0) {
      req._read = () => {}
      this.keep(req.read(req.readableLength))
      state.reading = reading
      state.dataEmitted = dataEmitted
    }
    if (ended) {
      state.ended = false
      this.ended = true
    }
  }

  keep(chunk, encoding) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
    this.waiting += bytes.length
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) this.pieces.push(bytes.subarray(at, at + PIECE_BYTES))
  }

  /** A chunk from the connection, or null for the end. Returns whether the next one is welcome. */
  take(chunk, encoding) {
    if (this.closed) return chunk === null ? this.tap.pass(null) : true
    if (chunk === null) this.ended = true
    else this.keep(chunk, encoding)
    this.pump()
    if (!this.begun) return this.waiting < this.req.readableHighWaterMark
    return this.asked && this.waiting === 0 && !this.more
  }

  /** Replaces the stream's `_read`. */
  ask() {
    const { req } = this
    if (this.closed || this.tap.isRefused) return this.read.call(req)
    // Like IncomingMessage's own `_read`: the body has a reader, and must not be dumped when the response has finished.
    if (!req._consuming && !req._dumped) {
      req._readableState.readingMore = false
      req._consuming = true
    }
    if (!this.begun) reading.begins(req)
    // A limit that has waited for this may have refused it.
    if (this.tap.isRefused) return
    this.begun = true
    this.asked = true
    this.pump()
  }

  /** Whether output is left to make from what has arrived. */
  isBehind() {
    return this.waiting > 0 || this.busy || this.more
  }

  pump() {
    const { req } = this
    while (this.asked && !this.busy && !this.closed && !this.tap.isRefused) {
      if (req._dumped) return this.skip()
      if (this.more) return this.stepOnPool()
      const piece = this.pieces.shift()
      if (piece !== undefined) {
        this.waiting -= piece.length
        this.step(piece)
      } else if (this.ended) {
        return this.finish()
      } else {
        return this.read.call(req)
      }
    }
  }

  step(piece) {
    this.busy = true
    try {
      this.settle(this.feed(piece))
    } finally {
      this.busy = false
    }
  }

  feed(piece) {
    try {
      return this.body.feed(piece, this.tap.limit)
    } catch (error) {
      return broken(error)
    }
  }

  stepOnPool() {
    this.busy = true
    this.onPool = true
    this.body
      .step(this.tap.limit)
      .catch(broken)
      .then(state => this.stepped(state))
      // A reader's own exception. It becomes uncaught, as without decompression.
      .catch(error => process.nextTick(rethrow, error))
  }

  stepped(state) {
    this.onPool = false
    if (this.closed || this.tap.isRefused) return this.close()
    try {
      this.settle(state)
    } finally {
      this.busy = false
    }
    this.pump()
  }

  /** Passes on the output of a step. `state` is the decoder's state after it. */
  settle(state) {
    const output = this.body.take()
    if (output !== null) this.made += output.length
    this.decoderBytes = this.body.memory()
    this.more = state === 'more'
    if (state === 'over limit') return this.overLimit()
    if (state === 'over ratio') {
      if (this.grew === null) return this.overRatio()
      this.grew({ received: this.made, ratio: this.ratio })
      this.body.liftRatio()
      this.more = true
    } else if (state !== 'hungry' && state !== 'more') {
      return this.fail(state)
    }
    if (this.tap.exceedsBudget()) return this.close()
    if (output === null) return
    if (this.tap.watched.length > 0) this.tap.notifyWatchers(this.made)
    // The stream may request more while it receives this.
    this.asked = false
    if (this.tap.pass(output)) this.asked = true
  }

  finish() {
    const wrong = this.body.finish()
    if (wrong !== null) return this.fail(wrong)
    this.close()
    this.tap.pass(null)
  }

  /** The response has finished and no consumer has read. The rest is dumped, as Node does. */
  skip() {
    this.close()
    if (this.ended) {
      this.tap.pass(null)
      this.req.resume()
    } else {
      this.read.call(this.req)
    }
  }

  overLimit() {
    const { req, tap, made } = this
    this.close()
    tap.onExcess(req, tap.res, made, tap.limit)
  }

  overRatio() {
    const error = tooLarge({ limit: this.tap.limit, received: this.made, ratio: this.ratio })
    this.note(this.req, error)
    this.refuse(error)
  }

  fail(state) {
    const { encoding } = this
    if (state === 'memory') {
      this.outOfMemory()
    } else if (state === 'window') {
      this.refuse(windowTooLarge(encoding, this.memory))
    } else if (state === 'truncated') {
      this.refuse(encodingInvalid(encoding, 'unexpected end of file', 'Z_BUF_ERROR'))
    } else {
      const message = state === 'trailing' ? `garbage after the ${encoding} data` : `invalid ${encoding} data`
      this.refuse(encodingInvalid(encoding, message, 'Z_DATA_ERROR'))
    }
  }

  /** All decoders together have reached their limit. */
  outOfMemory() {
    const error = overBudget({
      limit: this.memory,
      inFlight: native.decodersInFlight(),
      received: this.tap.received,
      retryAfterS: retryAfterS()
    })
    this.note(this.req, error)
    this.refuse(error)
  }

  refuse(error) {
    this.close()
    refuse.during(this.req, this.tap.res, error, this.caps)
  }

  /**
   * A handler may continue to read after its response, until its connection ends. Node does not report that end to such
   * a request.
   */
  outlive() {
    if (this.closed) return
    const { req } = this
    this.connection = req.stream ?? req.socket
    if (this.connection?.destroyed === false) this.connection.once('close', this.close)
    else this.close()
  }

  /** Frees the native memory. If a step is running, it is freed after the step. */
  close() {
    this.closed = true
    this.pieces = []
    this.req.off('close', this.close)
    this.connection?.off('close', this.close)
    // The step on another thread frees it when it returns.
    if (this.onPool) return
    this.body.close()
    this.decoderBytes = 0
    this.tap.room?.shrink(this.tap.received)
  }
}

/** An internal error of the native decoder. The body is refused as a corrupt one. */
function broken(error) {
  internalErrors.report('when a body was inflated', error)
  return 'closed'
}

function rethrow(error) {
  throw error
}

module.exports = { settings, applies, begin }
