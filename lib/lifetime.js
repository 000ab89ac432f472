'use strict'

/*
 * When a request is over: exactly once, whatever happened. Every promise of "at the end" hangs on `atEnd`.
 *
 * No single event says so. `'close'` on the response is the usual one; but when a client pipelines five requests and goes
 * away, Node 20 to 24 emit it on one response of the five, and a response that was detached from its socket never
 * closes. So the first of three ends it: the response's `'close'`, the socket's (one listener a socket, ending all that is
 * open on it), and the request's with the response detached.
 */

const LIFE = Symbol('plimsoll.life')
const CONNECTION = Symbol('plimsoll.connection')

/** A request's life; on `req` and `res`, and on its connection's list while it lasts. */
class Life {
  constructor(req, res, connection) {
    this.req = req
    this.res = res
    this.connection = connection
    this.over = false
    this.first = null
    this.others = null
  }
}

/** A socket (HTTP/2: a stream), the lives that are open on it, and what it had written when the last of them ended. */
class Connection {
  constructor(socket) {
    this.socket = socket
    this.written = bytesWritten(socket)
    this.lives = []
  }
}

function bytesWritten(socket) {
  const bytes = socket.bytesWritten
  return Number.isFinite(bytes) ? bytes : 0
}

/**
 * Calls `ended(req, res, responseBytes)` once, when the request is over: at once if it already is. Functions are
 * called in the order in which they came; one that throws is reported and holds up no other. `responseBytes` is what went out
 * on the socket since the response before.
 */
function atEnd(req, res, ended) {
  const life = req[LIFE] ?? begin(req, res)
  if (life.over) process.nextTick(call, ended, life, 0)
  else if (life.first === null) life.first = ended
  else if (life.others === null) life.others = [ended]
  else life.others.push(ended)
}

/** True once the request is over. */
function isOver(req) {
  return req[LIFE]?.over === true
}

/** Bytes that went out for this request so far; 0 before `atEnd` was called for it, and for HTTP/2. */
function writtenSoFar(req) {
  const connection = req[LIFE]?.connection
  return connection ? bytesWritten(connection.socket) - connection.written : 0
}

function begin(req, res) {
  const connection = connectionOf(req.stream ?? req.socket)
  const life = new Life(req, res, connection)
  req[LIFE] = life
  res[LIFE] = life
  if (res.closed === true || connection?.socket.destroyed === true) {
    process.nextTick(end, life)
    return life
  }
  res.on('close', responseClosed)
  req.on('close', requestClosed)
  connection?.lives.push(life)
  return life
}

function connectionOf(socket) {
  if (socket === null || typeof socket !== 'object') return null
  let connection = socket[CONNECTION]
  if (connection === undefined) {
    connection = new Connection(socket)
    socket[CONNECTION] = connection
    socket.on('close', socketClosed)
  }
  return connection
}

function responseClosed() {
  end(this[LIFE])
}

function requestClosed() {
  const life = this[LIFE]
  // A request that was read to its end closes while its response is still being made; only a response that no longer
  // has the socket will never say that it is over.
  if (life.res.socket === null && !(life.res.stream && !life.res.stream.destroyed)) end(life)
}

function socketClosed() {
  const { lives } = this[CONNECTION]
  while (lives.length > 0) end(lives[lives.length - 1])
}

function end(life) {
  if (life.over) return
  life.over = true
  const { connection } = life
  let bytes = 0
  if (connection !== null) {
    const { lives, socket } = connection
    const place = lives.indexOf(life)
    if (place !== -1) {
      lives[place] = lives[lives.length - 1]
      lives.pop()
    }
    const written = bytesWritten(socket)
    bytes = written - connection.written
    connection.written = written
  }
  const { first, others } = life
  life.first = null
  life.others = null
  if (first !== null) call(first, life, bytes)
  if (others !== null) for (const ended of others) call(ended, life, bytes)
}

function call(ended, life, bytes) {
  try {
    ended(life.req, life.res, bytes)
  } catch (error) {
    require('./faults.js').report('at the end of a request', error)
  }
}

module.exports = { atEnd, isOver, writtenSoFar }
