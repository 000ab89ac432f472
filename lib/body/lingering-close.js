'use strict'

/*
 * Handles a connection whose body was refused. A server that closes a socket with unread data causes a reset. A client
 * that is still sending does not read its response after a reset.
 *
 * So it closes as nginx does. The response has `Connection: close`, and the sending half of the socket is closed. What
 * still arrives is discarded until the client has closed its half, or until a limit is reached: time without a byte,
 * total time, or bytes. If the rest is declared and small, it is read instead, and the connection stays open.
 *
 * Tested with 15 clients that upload without a length: respond and close reached none, respond and destroy 7, this all
 * 15.
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
 * nginx waits 30 s in total and 5 s for a byte. Here it is less, because the client only needs a round trip to read its
 * response. A client that sends all before it reads has ten seconds.
 */
const DEFAULTS = { timeMs: 10_000, idleMs: 3_000, bytes: 256 * 2 ** 20, drain: 64 * 2 ** 10 }
/** Sockets that linger at once in this thread. Further ones are closed after their response. */
const MOST = 256
const CHECK_EVERY_MS = 100
/** The interval while data arrives: a client that sends all before it reads must not wait for the server. */
const CHECK_SOON_MS = 5
/** The return value of a parser's `onIncoming` for a request that is not an upgrade. */
const PARSE_BODY = 0
/** Result of `native.discard` for a socket that must be read. */
const UNSUPPORTED = -2

/**
 * The server's listeners on a socket, by their names. They are removed: an end or a reset is expected from now on, and
 * must not cause a `clientError`.
 */
const OF_SERVER = {
  end: ['bound socketOnEnd', 'socketOnEnd'],
  error: ['socketOnError'],
  timeout: ['bound socketOnTimeout', 'socketOnTimeout']
}

const kept = new WeakSet()
const watched = new Set()
let lingering = 0
let timer = null

/** Limits that a user has set. `DEFAULTS` apply to the others. */
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

/** A refused request's connection, from the refusal until no more of the body is expected, or the socket is gone. */
class Refused {
  constructor(req, caps, giveUp) {
    this.socket = req.socket
    this.caps = caps
    /** Responds if the app does not. */
    this.giveUp = giveUp
    this.answered = false
    this.lingers = false
    /** Bytes that the kernel discards. They are not read, so `bytesRead` does not include them. */
    this.unread = false
    this.discarded = 0
    // Null for a server that never listened (its sockets are passed to it), because its close is not visible.
    this.server = this.socket.server?.listening === true ? this.socket.server : null
    this.restart()
  }

  restart() {
    this.from = this.received()
    this.bytes = this.from
    this.since = performance.now()
    this.receivedAt = this.since
  }

  received() {
    return this.socket.bytesRead + this.discarded
  }

  /** Whether more data has arrived since the last call. */
  hasReceived(now) {
    if (this.unread) this.discard()
    const bytes = this.received()
    if (bytes === this.bytes) return false
    this.bytes = bytes
    this.receivedAt = now
    return true
  }

  discard() {
    const { socket } = this
    const bytes = discard(socket._handle?.fd ?? -1)
    if (bytes >= 0) this.discarded += bytes
    // The client has closed. Only our own last bytes are pending.
    else if (socket.writableFinished) socket.destroy()
  }

  /** Whether a limit is reached. */
  isSpent(now) {
    // A client may wait for its response, however long the app takes.
    const idle = this.answered && now - this.receivedAt > this.caps.idleMs
    return idle || now - this.since > this.caps.timeMs || this.bytes - this.from > this.caps.bytes
  }
}

/**
 * Call this when the body of `req` is cut. It handles the connection. `giveUp()` is called if the app has not responded
 * within the limits.
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
  // A client that has not received `100 Continue` may never send what it has declared.
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
    // A response with `Connection: close` is the last of its connection.
    if (res.headersSent) return
    res.shouldKeepAlive = shouldKeepAlive
    restore()
  })
  watch(refused)
  // The connection stays open, but must not retain the request.
  atEnd(req, res, () => {
    refused.giveUp = null
    // A socket refers to its last request.
    if (socket.destroyed) unwatch(refused)
  })
  const answered = () => {
    if (tap.isDrained || socket.destroyed) return unwatch(refused)
    refused.answered = true
    refused.giveUp = null
    refused.restart()
    if (!small || res._last) linger(refused, res)
  }
  // Runs before the server's own listener, which closes the connection or waits on it for the next request.
  if (res.writableFinished) answered()
  else res.prependListener('finish', answered)
}

/**
 * From now on requests that are pipelined on the socket are dropped: the response to the refused one closes the
 * connection, so theirs could not be sent. Returns a function that serves them again.
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

/** Called like the server's own listener, with a request whose headers have been parsed. */
function dropped(req) {
  req.upgrade = false
  req.push = dropChunk
  return PARSE_BODY
}

function dropChunk() {
  return true
}

/** HTTP/2: asks the client to stop once it has its response, without an error (RFC 9113, 8.1). */
function closeStream(stream) {
  const close = () => stream.destroyed || stream.close(constants.NGHTTP2_NO_ERROR)
  stream?.once('finish', () => {
    // Closes a round trip later, because Node's own client never closes a stream whose end and reset arrive together.
    if (stream.session?.destroyed !== false || !stream.session.ping(close)) close()
  })
}

/** Closes our half of the connection, and discards what still arrives. */
function linger(refused, res) {
  const { socket } = refused
  // For any `Connection` header that the app has set.
  res._last = true
  if (lingering >= MOST) {
    unwatch(refused)
    // The server does so itself, but not if it has already released the response.
    if (res.socket === null) socket.destroySoon()
    return
  }
  lingering += 1
  refused.lingers = true
  // Otherwise the server would destroy the socket when our half is written.
  socket.destroySoon = nothing
  socket.allowHalfOpen = true
  takeFromServer(socket)
  if (!stopReading(refused)) read(socket)
  socket.on('close', () => unwatch(refused))
  socket.end()
}

/** From now on no request that arrives on this connection may run, because its response could not be sent. */
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
 * The kernel discards what still arrives. Reading it would create a garbage buffer of 64 KiB each time. Most clients
 * close when they have their response, before anything must be discarded. Returns false if the kernel cannot.
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

/** Bytes that the kernel has discarded, or a negative number. */
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
  // A slow reader has stopped the handle below the stream, whose state does not show it.
  const handle = socket._handle
  if (handle && !handle.reading && typeof handle.readStart === 'function') {
    handle.reading = true
    handle.readStart()
  }
}

function watch(refused) {
  watched.add(refused)
  if (timer !== null) return
  checkIn(CHECK_EVERY_MS)
}

function checkIn(ms) {
  timer = outside(() => setTimeout(check, ms).unref())
}

function unwatch(refused) {
  if (!watched.delete(refused)) return
  if (refused.lingers) lingering -= 1
  if (watched.size > 0) return
  clearTimeout(timer)
  timer = null
}

/** Whether bytes that the kernel discards still arrive. Undefined if the check failed. */
const attend = internalErrors.guarded('when a lingering connection was checked', (refused, now) => {
  const { socket, server, answered } = refused
  if (socket.destroyed) {
    unwatch(refused)
    return false
  }
  const flows = refused.hasReceived(now) && refused.unread
  if (answered && server !== null && !server.listening) {
    // The server closes. Refused clients must not delay a restart.
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

function check() {
  timer = null
  const now = performance.now()
  let flows = false
  for (const refused of watched) {
    const flow = attend(refused, now)
    // Without the check, no limit would end it.
    if (flow === undefined) refused.socket.destroy()
    else if (flow) flows = true
  }
  if (watched.size > 0 && timer === null) checkIn(flows ? CHECK_SOON_MS : CHECK_EVERY_MS)
}

function nothing() {}

module.exports = { keep, capsOf }
