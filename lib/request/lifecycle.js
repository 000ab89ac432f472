'use strict'

/*
 * The state of a request, and its end. Each request ends exactly once.
 *
 * No single event reports the end. It is usually the response's `'close'`. But if a client pipelines five requests and
 * disconnects, Node 20 to 24 emit it on one response of the five. A response that was detached from its socket never
 * closes. So the first of three events ends a request:
 *
 * 1. the response's `'close'`,
 * 2. the socket's `'close'` (one listener on each socket, which ends all requests that are open on it),
 * 3. the request's `'close'`, if the response was detached.
 *
 * The state is one object. It is stored on the state of the request's stream, not on `req` or `res`. Express gives each
 * of these a prototype of its own. From then on V8 copies the descriptors of all their properties for each one that is
 * added or first written. That is 1.1 KB for each property and request, and the first read of one costs 0.3 µs
 * (measured, Node 20). For the same reason there are few reads, and a listener on `req` only where it is needed.
 */

const channel = require('node:diagnostics_channel')
const { Duplex } = require('node:stream')
const internalErrors = require('../core/internal-errors.js')

const STATE = Symbol('plimsoll.request')
const CONNECTION = Symbol('plimsoll.connection')

/** What is known of a request while it is in flight. */
class RequestState {
  constructor(req, res, connection) {
    this.req = req
    this.res = res
    this.connection = connection
    /** The tracker's handle. It is -1 before the request is tracked, and 0 if it is not tracked. */
    this.slot = -1
    /** Whether the tracker or a layer has a span open for it. */
    this.inside = false
    this.over = false
    this.method = req.method
    this.url = req.originalUrl ?? req.url
    this.headers = req.headers
    /** Set by express/route-tracker.js and body/tap.js. */
    this.trace = null
    this.tap = null
    /** A `Scope` (scope/scope.js) and an `Owner` (leaks/request-owner.js). */
    this.scope = null
    this.owner = null
    /** Whether `shed()` refused it. */
    this.refused = false
    this.first = null
    this.others = null
  }

  /**
   * Calls `ended(req, res, state)` once, when the request is over, in the order of registration. If a function throws,
   * the error is reported and the others are called.
   */
  atEnd(ended) {
    if (this.first === null) this.first = ended
    else if (this.others === null) this.others = [ended]
    else this.others.push(ended)
  }

  /** Bytes written to the socket since the previous response. 0 for HTTP/2, whose streams do not count them. */
  responseBytes() {
    return bytesWritten(this.connection.socket) - this.connection.written
  }
}

/**
 * A socket (HTTP/2: a stream), the requests that are open on it, and the bytes it had written when the last of them
 * ended.
 */
class Connection {
  constructor(socket) {
    this.socket = socket
    this.written = bytesWritten(socket)
    this.open = []
    /**
     * Whether it emits `'close'`. The socket of an injected request does not: there the response's `'finish'` is the
     * end.
     */
    this.closes = socket instanceof Duplex
  }
}

function bytesWritten(socket) {
  const bytes = socket.bytesWritten
  return Number.isFinite(bytes) ? bytes : 0
}

/** The state of a request, over or not. Undefined before `begin`. */
function anyStateOf(req) {
  return (req._readableState ?? req)[STATE]
}

/** The state of a request. Undefined before `begin` and after the end. */
function stateOf(req) {
  const state = anyStateOf(req)
  return state === undefined || state.over ? undefined : state
}

/** The handle of this request's slot, or 0. */
function slotOf(req) {
  return Math.max(0, stateOf(req)?.slot ?? 0)
}

/**
 * The state of a request, created if there is none. Null if the request is over, or has no connection that could end.
 */
function begin(req, res) {
  const streamState = req._readableState ?? req
  const known = streamState[STATE]
  if (known !== undefined) return known.over ? null : known
  const socket = req.stream ?? req.socket
  return start(req, res, streamState, socket?.[CONNECTION] ?? connectionOf(socket))
}

function start(req, res, streamState, connection) {
  // Tests and adapters create requests of any kind.
  if (connection === null || typeof res?.on !== 'function' || (streamState === req && !Object.isExtensible(req)))
    return null
  const state = new RequestState(req, res, connection)
  streamState[STATE] = state
  connection.open.push(state)
  res.on('close', () => end(state))
  if (!connection.closes) res.on('finish', () => process.nextTick(end, state))
  return state
}

/** The state of a request, over or not. A request without a connection gets a state that is over. */
function lastingState(req, res) {
  const known = begin(req, res) ?? anyStateOf(req)
  if (known !== undefined) return known
  const state = new RequestState(req, res, new Connection({}))
  state.over = true
  // A frozen object cannot get one.
  Reflect.set(req._readableState ?? req, STATE, state)
  return state
}

/**
 * From now on the state of each request on a server begins before Express receives it, when its properties are still
 * cheap to access. Without that, `plimsoll()` cost a request four times as much on Node 20.
 */
function trackServers() {
  channel.subscribe('http.server.request.start', onRequestStart)
}

function onRequestStart(message) {
  try {
    const { request, response, socket } = message
    const streamState = request._readableState
    if (streamState[STATE] === undefined)
      start(request, response, streamState, socket[CONNECTION] ?? connectionOf(socket))
  } catch (error) {
    internalErrors.report('at the start of a request', error)
  }
}

/** Like `atEnd` of the state. If the request is over already, `ended` is called in the next tick. */
function atEnd(req, res, ended) {
  const state = begin(req, res)
  if (state === null) process.nextTick(call, ended, new RequestState(req, res, new Connection({})))
  else state.atEnd(ended)
}

/** True after the end of a request that had begun. */
function isOver(req) {
  return stateOf(req) === undefined
}

function connectionOf(socket) {
  if (socket === null || typeof socket !== 'object' || socket.destroyed) return null
  const known = socket[CONNECTION]
  if (known !== undefined) return known
  if (typeof socket.on !== 'function' || !Object.isExtensible(socket)) return null
  const connection = new Connection(socket)
  socket[CONNECTION] = connection
  // An app may call this listener with another `this`.
  socket.on('close', () => endAll(connection))
  return connection
}

/**
 * Call this when the synchronous part of a request has run. A response that was detached in it will not close. One that
 * has no socket because it waits for an earlier pipelined one will.
 */
function settled(state) {
  if (state.res.socket === null && !state.over && state.connection.open[0] === state) {
    state.req.on('close', () => end(state))
  }
}

function endAll({ open }) {
  while (open.length > 0) end(open[0])
}

function end(state) {
  if (state.over) return
  state.over = true
  const { first, others, connection } = state
  state.first = null
  state.others = null
  if (first !== null) call(first, state)
  if (others !== null) for (const ended of others) call(ended, state)
  connection.written = bytesWritten(connection.socket)
  const { open } = connection
  open.splice(open.indexOf(state), 1)
}

function call(ended, state) {
  try {
    ended(state.req, state.res, state)
  } catch (error) {
    internalErrors.report('at the end of a request', error)
  }
}

module.exports = { begin, lastingState, trackServers, atEnd, settled, stateOf, anyStateOf, slotOf, isOver }
