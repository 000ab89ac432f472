'use strict'

/*
 * A compressed body, inflated between the tap and its readers: what is behind sees an identity body.
 *
 * Nothing is inflated before somebody reads; from then on the reader's stream asks, one step (64 KiB) is made, and while it does
 * not ask nothing is made and the socket is not read. A small chunk is inflated where it comes, whatever is more, and br, on
 * libuv's pool (src/binding/inflate.rs).
 *
 * The readers' headers say what they get: no Content-Encoding; no Content-Length, since raw-body compares it with what comes; and
 * `Transfer-Encoding: chunked`, by which type-is (body-parser, multer) sees that there is a body at all.
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
/** What is handed to native code at once, and copied there. */
const PIECE_BYTES = 2 ** 16
let warned = false

/** `limit()`'s option, checked: `{ ratio, threshold, memory }`, or null where nothing is to be inflated. */
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

/** Whether a body is one to be inflated; one that somebody has read from is his, and one that was refused nobody's. */
function applies(given, req, length) {
  if (given === null || length === undefined || encodingOf(req) === 'identity') return false
  return !req.readableDidRead && !req.destroyed
}

/**
 * From here on who reads the request reads an identity body. Returns the error of one that cannot be inflated, else null. `caps` are those
 * of a refused connection. `grew(excess)` is called for a body that grows too much. Without it, that body is refused, and noted.
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

/** Node makes `headersDistinct` of the raw ones when it is first asked for, and counts on their number: so that is asked for first. */
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
    /** The native half; its memory is freed by `close`. */
    this.body = body
    this.encoding = encoding
    this.ratio = ratio
    this.memory = memory
    this.caps = caps
    this.note = note
    this.grew = grew
    /** Bytes handed to the readers. */
    this.made = 0
    /** Bytes of memory that the decoder holds. */
    this.decoderBytes = 0
    /** What has come and was not fed yet. */
    this.pieces = []
    this.waiting = 0
    this.ended = false
    /** The readers' stream has begun to ask, and asks for more. */
    this.begun = false
    this.asked = false
    /** Of what was fed, more can be made. */
    this.more = false
    /** Somebody is at it: `step` further up the stack, or another thread. */
    this.busy = false
    this.elsewhere = false
    this.closed = false
    this.connection = null
    this.close = this.close.bind(this)
    this.read = req._read
    this.takeBack()
    req._read = () => this.ask()
    req.once('close', this.close)
    atEnd(req, tap.res, () => this.outlive())
  }

  /** What an asynchronous middleware in front has let the stream buffer comes back, and its end, as if nobody had asked for it. */
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

  /** A chunk from the wire, null for the end; whether the next one is welcome. */
  take(chunk, encoding) {
    if (this.closed) return chunk === null ? this.tap.pass(null) : true
    if (chunk === null) this.ended = true
    else this.keep(chunk, encoding)
    this.pump()
    if (!this.begun) return this.waiting < this.req.readableHighWaterMark
    return this.asked && this.waiting === 0 && !this.more
  }

  /** In the place of the stream's `_read`. */
  ask() {
    const { req } = this
    if (this.closed || this.tap.isRefused) return this.read.call(req)
    // As IncomingMessage's own notes it: the body has a reader, and must not be dumped when the response is finished.
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

  /** Whether there is more to be made of what has come. */
  isBehind() {
    return this.waiting > 0 || this.busy || this.more
  }

  pump() {
    const { req } = this
    while (this.asked && !this.busy && !this.closed && !this.tap.isRefused) {
      if (req._dumped) return this.skip()
      if (this.more) return this.stepElsewhere()
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

  stepElsewhere() {
    this.busy = true
    this.elsewhere = true
    this.body
      .step(this.tap.limit)
      .catch(broken)
      .then(state => this.stepped(state))
      // A reader's own exception: uncaught, as it would be without this.
      .catch(error => process.nextTick(rethrow, error))
  }

  stepped(state) {
    this.elsewhere = false
    if (this.closed || this.tap.isRefused) return this.close()
    try {
      this.settle(state)
    } finally {
      this.busy = false
    }
    this.pump()
  }

  /** Hands on what a step made; `state` says what comes next. */
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
    // The stream may ask again while it takes this.
    this.asked = false
    if (this.tap.pass(output)) this.asked = true
  }

  finish() {
    const wrong = this.body.finish()
    if (wrong !== null) return this.fail(wrong)
    this.close()
    this.tap.pass(null)
  }

  /** The response is finished and nobody has read: what is left is thrown away, as Node does it. */
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

  /** All decoders together hold what they may. */
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

  /** A handler that has answered may read on: until its connection ends, which Node does not tell such a request. */
  outlive() {
    if (this.closed) return
    const { req } = this
    this.connection = req.stream ?? req.socket
    if (this.connection?.destroyed === false) this.connection.once('close', this.close)
    else this.close()
  }

  /** Frees what native code holds. A step that runs frees it afterwards. */
  close() {
    this.closed = true
    this.pieces = []
    this.req.off('close', this.close)
    this.connection?.off('close', this.close)
    // The step on another thread comes back here.
    if (this.elsewhere) return
    this.body.close()
    this.decoderBytes = 0
    this.tap.room?.shrink(this.tap.received)
  }
}

/** An internal error of the native decoder: the body is refused as a corrupt one. */
function broken(error) {
  internalErrors.report('when a body was inflated', error)
  return 'closed'
}

function rethrow(error) {
  throw error
}

module.exports = { settings, applies, begin }
