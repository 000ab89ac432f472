'use strict'

/*
 * When a request is over: exactly once, whatever happened. Every promise of "at the end" hangs on this.
 *
 * No single event says so. `'close'` on the response is the usual one; but when a client pipelines five requests and goes
 * away, Node 20 to 24 emit it on one response of the five, and a response that was detached from its socket never
 * closes. So the first of three ends it: the response's `'close'`, the socket's (one listener a socket, ending all that is
 * open on it), and the request's where the response was detached.
 *
 * What is known of a request while it lasts is one object, a life. It lies on the state of the request's stream and nothing is
 * put on `req` or `res`: Express gives each of them a prototype of its own, and from then on V8 copies the descriptors of
 * all their properties for each one that is added or written for the first time: 1.1 KB a property and request, and each
 * first read of one costs 0.3 µs (measured, Node 20). Hence also as few reads as possible, and a listener on `req` only
 * where it is needed.
 */

const channel = require('node:diagnostics_channel')
const { Duplex } = require('node:stream')
const internalErrors = require('../core/internal-errors.js')

const LIFE = Symbol('plimsoll.life')
const CONNECTION = Symbol('plimsoll.connection')

/** A request while it lasts. */
class Life {
  constructor(req, res, connection) {
    this.req = req
    this.res = res
    this.connection = connection
    /** The tracker's handle; -1 before it is tracked, 0 if it goes untracked. */
    this.slot = -1
    /** Whether a span of it is open, by the tracker or a layer. */
    this.inside = false
    this.over = false
    this.method = req.method
    this.url = req.originalUrl ?? req.url
    this.headers = req.headers
    /** Of those who follow it through Express (express/route-tracker.js), and count its body (body/tap.js). */
    this.trace = null
    this.tap = null
    /** Of those who tie things to it: its `Scope` (scope/scope.js), and its `Owner` (leaks/request-owner.js). */
    this.scope = null
    this.owner = null
    /** By `shed()`. */
    this.refused = false
    this.first = null
    this.others = null
  }

  /**
   * Calls `ended(req, res, life)` once, when the request is over. Functions are called in the order in which they came; one that
   * throws is reported and holds up no other.
   */
  atEnd(ended) {
    if (this.first === null) this.first = ended
    else if (this.others === null) this.others = [ended]
    else this.others.push(ended)
  }

  /** Bytes that went out on the socket since the response before; 0 for HTTP/2, whose streams do not count them. */
  responseBytes() {
    return bytesWritten(this.connection.socket) - this.connection.written
  }
}

/** A socket (HTTP/2: a stream), the lives that are open on it, and what it had written when the last of them ended. */
class Connection {
  constructor(socket) {
    this.socket = socket
    this.written = bytesWritten(socket)
    this.lives = []
    /** Whether it closes at its end. The socket of an injected request does not: there the response's `'finish'` is the end. */
    this.closes = socket instanceof Duplex
  }
}

function bytesWritten(socket) {
  const bytes = socket.bytesWritten
  return Number.isFinite(bytes) ? bytes : 0
}

/** The life of a request, over or not; undefined before it has begun. */
function anyLifeOf(req) {
  return (req._readableState ?? req)[LIFE]
}

/** The life of a request; undefined before `begin` and once it is over. */
function lifeOf(req) {
  const life = anyLifeOf(req)
  return life === undefined || life.over ? undefined : life
}

/** The handle of this request's slot; 0 if it has none. */
function slotOf(req) {
  return Math.max(0, lifeOf(req)?.slot ?? 0)
}

/** The life of a request, begun if need be; null if the request is over, or has no connection that could end. */
function begin(req, res) {
  const state = req._readableState ?? req
  const known = state[LIFE]
  if (known !== undefined) return known.over ? null : known
  const socket = req.stream ?? req.socket
  return start(req, res, state, socket?.[CONNECTION] ?? connectionOf(socket))
}

function start(req, res, state, connection) {
  // Requests that a test or an adapter makes may be anything.
  if (connection === null || typeof res?.on !== 'function' || (state === req && !Object.isExtensible(req))) return null
  const life = new Life(req, res, connection)
  state[LIFE] = life
  connection.lives.push(life)
  res.on('close', () => end(life))
  if (!connection.closes) res.on('finish', () => process.nextTick(end, life))
  return life
}

/** The life of a request whatever has become of it; one without a connection gets a life that is over. */
function lastingLife(req, res) {
  const known = begin(req, res) ?? anyLifeOf(req)
  if (known !== undefined) return known
  const life = new Life(req, res, new Connection({}))
  life.over = true
  // A frozen one stays without.
  Reflect.set(req._readableState ?? req, LIFE, life)
  return life
}

/**
 * From here on each request of a server begins its life before Express has seen it, while everything that is read of it and hung
 * on it is still cheap: a quarter of what `plimsoll()` cost a request on Node 20.
 */
function meetAll() {
  channel.subscribe('http.server.request.start', meet)
}

function meet(message) {
  try {
    const { request, response, socket } = message
    const state = request._readableState
    if (state[LIFE] === undefined) start(request, response, state, socket[CONNECTION] ?? connectionOf(socket))
  } catch (error) {
    internalErrors.report('when a request came', error)
  }
}

/** As the life's own `atEnd`, begun if need be; a request that is over already ends in the next tick. */
function atEnd(req, res, ended) {
  const life = begin(req, res)
  if (life === null) process.nextTick(call, ended, new Life(req, res, new Connection({})))
  else life.atEnd(ended)
}

/** True once a request that had begun is over. */
function isOver(req) {
  return lifeOf(req) === undefined
}

function connectionOf(socket) {
  if (socket === null || typeof socket !== 'object' || socket.destroyed) return null
  const known = socket[CONNECTION]
  if (known !== undefined) return known
  if (typeof socket.on !== 'function' || !Object.isExtensible(socket)) return null
  const connection = new Connection(socket)
  socket[CONNECTION] = connection
  // Others may call this listener with another `this`.
  socket.on('close', () => endAll(connection))
  return connection
}

/**
 * To be called when the synchronous part of a request has run: a response that was detached in it will not close. One that has no
 * socket because it waits behind a pipelined one will.
 */
function settled(life) {
  if (life.res.socket === null && !life.over && life.connection.lives[0] === life) {
    life.req.on('close', () => end(life))
  }
}

function endAll({ lives }) {
  while (lives.length > 0) end(lives[0])
}

function end(life) {
  if (life.over) return
  life.over = true
  const { first, others, connection } = life
  life.first = null
  life.others = null
  if (first !== null) call(first, life)
  if (others !== null) for (const ended of others) call(ended, life)
  connection.written = bytesWritten(connection.socket)
  const { lives } = connection
  lives.splice(lives.indexOf(life), 1)
}

function call(ended, life) {
  try {
    ended(life.req, life.res, life)
  } catch (error) {
    internalErrors.report('at the end of a request', error)
  }
}

module.exports = { begin, lastingLife, meetAll, atEnd, settled, lifeOf, anyLifeOf, slotOf, isOver }
