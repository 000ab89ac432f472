'use strict'

/*
 * What becomes of a connection whose body was refused. A client that still sends does not read its answer once its socket is reset, and a
 * reset is what it gets from a server that closes while unread bytes come in. So, as nginx does: the answer goes out with
 * `Connection: close`, the sending half of the socket is closed, and what still comes is thrown away until the client has closed its
 * half, or a bound is reached: time without a byte, time in all, bytes. A remainder that is declared and small is read instead, and the
 * connection lives on.
 *
 * Tried: respond and close reached none of 15 clients that upload without a length, respond and destroy 7; this reached 15.
 */

const { constants } = require('node:http2')
const { Duplex } = require('node:stream')
const { native } = require('../core/addon.js')
const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')
const { outside } = require('../core/outside-requests.js')
const { atEnd } = require('../request/lifecycle.js')
const { existingTap } = require('./tap.js')

/**
 * nginx waits 30 s in all and 5 s for a byte. Here less: what is at stake is a client that must read its answer, and that takes a
 * round trip; one that sends all before it reads has ten seconds for that.
 */
const DEFAULTS = { timeMs: 10_000, idleMs: 3_000, bytes: 256 * 2 ** 20, drain: 64 * 2 ** 10 }
/** Sockets that linger at once, in this thread; more than these are closed as soon as they are answered. */
const MOST = 256
const LOOK_EVERY_MS = 100
/** While something comes: who sends all before it reads is not to wait for us. */
const LOOK_SOON_MS = 5
/** What a parser's `onIncoming` returns for a request that is no upgrade. */
const PARSE_BODY = 0
/** What `native.discard` says of a socket that must be read. */
const UNSUPPORTED = -2

/** The server's listeners on a socket, by their names: from here on an end or a reset is what is waited for, and no `clientError`. */
const OF_SERVER = {
  end: ['bound socketOnEnd', 'socketOnEnd'],
  error: ['socketOnError'],
  timeout: ['bound socketOnTimeout', 'socketOnTimeout']
}

const kept = new WeakSet()
const watched = new Set()
let lingering = 0
let timer = null

/** Bounds as a user gives them; what is left out is as in `DEFAULTS`. */
function capsOf(where, given) {
  if (given === undefined) return DEFAULTS
  const { timeMs, idleMs, bytes, drain } = { ...DEFAULTS, ...options.object(where, given, Object.keys(DEFAULTS)) }
  return {
    timeMs: options.integer(`${where}.timeMs`, timeMs, 0, 600_000),
    idleMs: options.integer(`${where}.idleMs`, idleMs, 0, 600_000),
    bytes: options.size(`${where}.bytes`, bytes),
    drain: options.size(`${where}.drain`, drain)
  }
}

/** A refused request's connection, from the refusal until nothing more of the body is to come, or the socket is gone. */
class Refused {
  constructor(req, caps, giveUp) {
    this.socket = req.socket
    this.caps = caps
    /** Answers in the place of an app that does not. */
    this.giveUp = giveUp
    this.answered = false
    this.lingers = false
    /** Thrown away by the kernel: nobody reads, so `bytesRead` does not know of it. */
    this.unread = false
    this.discarded = 0
    // A server that never listened (its sockets are handed to it) cannot be seen to close.
    this.server = this.socket.server?.listening === true ? this.socket.server : null
    this.restart()
  }

  restart() {
    this.from = this.received()
    this.bytes = this.from
    this.since = performance.now()
    this.heardAt = this.since
  }

  received() {
    return this.socket.bytesRead + this.discarded
  }

  /** Whether anything more has come since it was last asked. */
  hears(now) {
    if (this.unread) this.discard()
    const bytes = this.received()
    if (bytes === this.bytes) return false
    this.bytes = bytes
    this.heardAt = now
    return true
  }

  discard() {
    const { socket } = this
    const bytes = discard(socket._handle?.fd ?? -1)
    if (bytes >= 0) this.discarded += bytes
    // The client has closed: nothing is waited for but our own last bytes.
    else if (socket.writableFinished) socket.destroy()
  }

  /** Whether a bound is reached. */
  isSpent(now) {
    // A client may wait for its answer, however long the app takes to make it.
    const idle = this.answered && now - this.heardAt > this.caps.idleMs
    return idle || now - this.since > this.caps.timeMs || this.bytes - this.from > this.caps.bytes
  }
}

/**
 * To be called when the body of `req` is cut: sees to its connection. `giveUp()` is called if the app has not answered within the
 * bounds.
 */
function keep(req, res, caps = DEFAULTS, giveUp = nothing) {
  if (kept.has(req)) return
  kept.add(req)
  if (req.httpVersionMajor !== 1) {
    closeStream(req.stream)
    return
  }
  const { socket } = req
  const tap = existingTap(req)
  if (!(socket instanceof Duplex) || socket.destroyed || tap.isDrained) return
  // A client that was not told to continue may never send what it has declared.
  const awaited = res._expect_continue === true && res._sent100 !== true
  const small = !awaited && tap.remaining <= caps.drain
  const { shouldKeepAlive } = res
  const refused = new Refused(req, caps, giveUp)
  let restore = nothing
  if (!small) {
    res.shouldKeepAlive = false
    restore = dropPipelined(socket)
  }
  tap.onDrained(() => {
    unwatch(refused)
    // An answer that says `Connection: close` is the last of its connection.
    if (res.headersSent) return
    res.shouldKeepAlive = shouldKeepAlive
    restore()
  })
  watch(refused)
  // The connection stays, the request must not.
  atEnd(req, res, () => {
    refused.giveUp = null
    // A socket keeps its last request.
    if (socket.destroyed) unwatch(refused)
  })
  const answered = () => {
    if (tap.isDrained || socket.destroyed) return unwatch(refused)
    refused.answered = true
    refused.giveUp = null
    refused.restart()
    if (!small || res._last) linger(refused, res)
  }
  // In front of the server's own listener, which closes the connection or waits on it for the next request.
  if (res.writableFinished) answered()
  else res.prependListener('finish', answered)
}

/**
 * From here on requests that are pipelined on the socket are dropped: the answer to the refused one closes the connection, so theirs
 * could not be sent. Returns a function that serves them again.
 */
function dropPipelined(socket) {
  const { parser } = socket
  if (!parser) return nothing
  const { onIncoming } = parser
  parser.onIncoming = dropped
  return () => {
    if (parser.onIncoming === dropped) parser.onIncoming = onIncoming
  }
}

/** As the server's own listener: gets a request whose headers have been parsed. */
function dropped(req) {
  req.upgrade = false
  req.push = dropChunk
  return PARSE_BODY
}

function dropChunk() {
  return true
}

/** HTTP/2: tells the client to stop once it has its answer, and that this is no error (RFC 9113, 8.1). */
function closeStream(stream) {
  const close = () => stream.destroyed || stream.close(constants.NGHTTP2_NO_ERROR)
  stream?.once('finish', () => {
    // A round trip later: Node's own client never closes a stream whose end and reset come together.
    if (stream.session?.destroyed !== false || !stream.session.ping(close)) close()
  })
}

/** Closes our half of the connection, and throws away what still comes. */
function linger(refused, res) {
  const { socket } = refused
  // Whatever an app's own `Connection` header promised.
  res._last = true
  if (lingering >= MOST) {
    unwatch(refused)
    // The server does so itself, but not where it has done with the response.
    if (res.socket === null) socket.destroySoon()
    return
  }
  lingering += 1
  refused.lingers = true
  // The server would destroy it when our half is written.
  socket.destroySoon = nothing
  socket.allowHalfOpen = true
  takeFromServer(socket)
  if (!stopReading(refused)) read(socket)
  socket.on('close', () => unwatch(refused))
  socket.end()
}

/** From here on no request that still comes on this connection may run: it could not be answered. */
function takeFromServer(socket) {
  // The first listener takes the socket back from the parser.
  socket.on('data', nothing)
  for (const listener of socket.listeners('data')) if (listener !== nothing) socket.removeListener('data', listener)
  for (const [event, names] of Object.entries(OF_SERVER)) {
    for (const listener of socket.listeners(event)) {
      if (names.includes(listener.name)) socket.removeListener(event, listener)
    }
  }
  socket.on('error', nothing)
  socket.setTimeout(0)
}

/**
 * What still comes is thrown away by the kernel: read, it would be a garbage buffer of 64 KiB each time. Most clients close when they have
 * their answer, before anything needs to be thrown away. False where the kernel cannot.
 */
function stopReading(refused) {
  const { socket } = refused
  const handle = socket._handle
  if (native === null || typeof handle?.readStop !== 'function' || !(handle.fd >= 0)) return false
  const bytes = discard(handle.fd)
  if (bytes === UNSUPPORTED) return false
  refused.unread = true
  refused.discarded += Math.max(0, bytes)
  socket.pause()
  handle.reading = false
  handle.readStop()
  return true
}

/** Bytes that the kernel has thrown away, or a negative number. */
function discard(fd) {
  try {
    return native.discard(fd)
  } catch (error) {
    internalErrors.report('when received bytes were discarded', error)
    return UNSUPPORTED
  }
}

function read(socket) {
  socket.resume()
  // A reader that was slow has stopped it below the stream, which does not know.
  const handle = socket._handle
  if (handle && !handle.reading && typeof handle.readStart === 'function') {
    handle.reading = true
    handle.readStart()
  }
}

function watch(refused) {
  watched.add(refused)
  if (timer !== null) return
  lookIn(LOOK_EVERY_MS)
}

function lookIn(ms) {
  timer = outside(() => setTimeout(look, ms).unref())
}

function unwatch(refused) {
  if (!watched.delete(refused)) return
  if (refused.lingers) lingering -= 1
  if (watched.size > 0) return
  clearTimeout(timer)
  timer = null
}

/** Whether bytes still come that the kernel throws away; undefined if this failed. */
const attend = internalErrors.guarded('when a lingering connection was checked', (refused, now) => {
  const { socket, server, answered } = refused
  if (socket.destroyed) {
    unwatch(refused)
    return false
  }
  const flows = refused.hears(now) && refused.unread
  if (answered && server !== null && !server.listening) {
    // It closes: a restart is not held up by those who were refused.
    socket.destroy()
  } else if (refused.isSpent(now)) {
    const { giveUp } = refused
    refused.giveUp = null
    refused.restart()
    if (answered || giveUp === null) socket.destroy()
    else giveUp()
  }
  return flows
})

function look() {
  timer = null
  const now = performance.now()
  let flows = false
  for (const refused of watched) {
    const flow = attend(refused, now)
    // No bound would end it.
    if (flow === undefined) refused.socket.destroy()
    else if (flow) flows = true
  }
  if (watched.size > 0 && timer === null) lookIn(flows ? LOOK_SOON_MS : LOOK_EVERY_MS)
}

function nothing() {}

module.exports = { keep, capsOf }
