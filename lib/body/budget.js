'use strict'

/*
 * One budget for the bodies in flight of the whole process. A claim costs nothing: a body has room for what has arrived
 * of it and, with a declared length, for a bounded look-ahead. A body that finds no room is refused at once, so
 * half-read bodies never wait for each other's room. A compressed body has room for its inflated size and its decoder.
 * Three rules keep room for honest clients next to slow ones:
 *
 * 1. A share of the budget is reserved for small bodies.
 * 2. `perClient` limits the bodies of one client.
 * 3. `minRate` grows with the room of a body (min-rate.js).
 */

const net = require('node:net')
const { native } = require('../core/addon.js')
const { overBudget, tooLarge } = require('../core/errors.js')
const hook = require('../core/hook.js')
const options = require('../core/options.js')
const { tapOf } = require('./tap.js')
const counters = native ?? require('./js-counter.js')

const RETRY_AFTER_S = [1, 5]
/** Size up to which a body is small. */
const SMALL_BYTES = 64 * 2 ** 10
/**
 * In a budget of 1 MiB or more, an eighth is reserved for small bodies, up to 16 MiB, and decoders count. A smaller
 * budget has no room for a decoder.
 */
const SHARED_FROM = 2 ** 20
const SMALL_SHARE = 1 / 8
const SMALL_SHARE_MAX = 16 * 2 ** 20
const CLIENT_LENGTH = 256
/** Bytes of a declared length that are reserved beyond those that have arrived. */
const LOOK_AHEAD = 64 * 2 ** 10
const KNOWN = ['bytes', 'perClient', 'client']

/** Client -> bytes of its bodies, for clients that have any. */
const held = new Map()

/** The checked option of `limit()`: `{ bytes, most, perClient, clientOf }`, sizes in bytes. Null without a budget. */
function settings(where, given) {
  if (given === undefined) return null
  const several = options.isObject(given)
  const { bytes: size, perClient, client } = several ? options.object(where, given, KNOWN) : { bytes: given }
  const bytes = options.size(several ? `${where}.bytes` : where, size)
  if (client !== undefined && perClient === undefined) {
    options.fail(`${where}.client`, client, 'a function, together with perClient')
  }
  const kept = bytes < SHARED_FROM ? 0 : Math.min(bytes * SMALL_SHARE, SMALL_SHARE_MAX)
  return {
    bytes,
    /** The limit for bodies that are not small, together with all others. */
    most: bytes - Math.floor(kept),
    perClient: perClient === undefined ? Number.POSITIVE_INFINITY : options.size(`${where}.perClient`, perClient),
    clientOf: client === undefined ? addressOf : clientOf(`${where}.client`, client)
  }
}

/** The app's function that names a client, for servers behind a proxy. Requests without a name share one limit. */
function clientOf(where, client) {
  if (typeof client !== 'function') options.fail(where, client, 'a function of the request, like req => req.ip')
  return hook(where, client, name => nameOf(`what ${where} returns`, name), '')
}

function nameOf(where, name) {
  if (name === undefined || name === null) return ''
  return typeof name === 'string' ? name.slice(0, CLIENT_LENGTH) : options.fail(where, name, 'a string')
}

/** The client's address. For IPv6 it is the network, since one client has all its addresses. */
function addressOf(req) {
  const address = req.socket?.remoteAddress ?? ''
  if (!net.isIPv6(address)) return address
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)
  if (mapped !== null) return mapped[1]
  const [head, tail = ''] = address.split('::')
  const groups = head.split(':')
  const zeros = address.includes('::') ? 8 - groups.length - tail.split(':').filter(Boolean).length : 0
  return [...groups, ...Array(Math.max(0, zeros)).fill('0')].slice(0, 4).join(':')
}

/**
 * Reserves room for a body of `length` (-1: unknown) bytes, which may be `inflated`. Returns the refusal if there is no
 * room. `over(req, res, error)` is called if it runs out of room later. With `report` it refuses nothing, and `over` is
 * called when it would.
 */
function reserve(req, res, { length, inflated, budget, report }, over) {
  const tap = tapOf(req, res)
  const room = tap.roomOf(() => new Room(inflated ? -1 : length))
  if (room === null) return null
  const onExceeded = () => over(req, res, refusal(budget, tap, { received: tap.received }))
  const grow = () => room.grow(tap.received, tap.decoderBytes)
  if (report) {
    const fits = room.observe(budget, req, onExceeded)
    // Its bytes count for other guards, which may refuse.
    grow()
    if (fits) return null
  } else {
    if (room.enter(budget, req, onExceeded) && grow()) return null
    // It is refused only once.
    room.onBudgetExceeded = null
  }
  return refusal(budget, tap, length === -1 ? { received: tap.received } : { length })
}

const UNBOUNDED = {
  bytes: Number.POSITIVE_INFINITY,
  most: Number.POSITIVE_INFINITY,
  perClient: Number.POSITIVE_INFINITY
}

/** The limit for all bodies together when one of them has `bytes`. */
function boundOf({ most, bytes: all }, bytes) {
  return bytes > SMALL_BYTES ? most : all
}

/** The room of one body, within the budgets of all guards that it has passed. */
class Room {
  constructor(declared) {
    /** -1 if the length is unknown, or if the body is inflated. */
    this.declared = declared
    this.held = 0
    /** The lowest of the guards' limits. */
    this.bounds = UNBOUNDED
    this.onBudgetExceeded = null
    /** `{ budget, onExceeded }` of guards that only report, each until its first report. */
    this.observers = []
    this.client = undefined
  }

  /**
   * From now on the body must fit into `budget` as well. `onExceeded()` is called when it does not any more. Returns
   * false if it does not fit now.
   */
  enter(budget, req, onExceeded) {
    this.identify(budget, req)
    const { bytes, most, perClient } = this.bounds
    this.bounds = {
      bytes: Math.min(bytes, budget.bytes),
      most: Math.min(most, budget.most),
      perClient: Math.min(perClient, budget.perClient)
    }
    this.onBudgetExceeded = onExceeded
    return this.mayClaim(this.bounds)
  }

  /** Like `enter`, for a guard that refuses nothing: `onExceeded()` is called when the body would not fit. */
  observe(budget, req, onExceeded) {
    this.identify(budget, req)
    const may = this.mayClaim(budget)
    if (may) this.observers.push({ budget, onExceeded })
    return may
  }

  /** Sets the client, by the first guard that limits clients. */
  identify(budget, req) {
    if (this.client !== undefined || budget.perClient === Number.POSITIVE_INFINITY) return
    this.client = budget.clientOf(req)
    if (this.held > 0) book(this.client, this.held)
  }

  mayClaim(bounds) {
    const { declared } = this
    const all = counters.budgetInFlight() - this.held + Math.max(0, declared)
    return declared <= bounds.perClient && all <= boundOf(bounds, declared)
  }

  /**
   * Takes room for `received` bytes and a decoder of `decoder` bytes, with a look-ahead if the length is known. Returns
   * false if there is none.
   */
  grow(received, decoder = 0) {
    const bytes = received + this.countedOf(decoder)
    const isFirst = this.held === 0 && this.declared > 0
    if (bytes <= this.held && !isFirst) return true
    const ahead = Math.min(this.declared, bytes + LOOK_AHEAD)
    const fits = (ahead > bytes && this.hold(ahead)) || this.hold(bytes)
    if (fits && this.observers.length > 0) this.report(bytes)
    return fits
  }

  hold(bytes) {
    const more = bytes - this.held
    const ofClient = this.client === undefined ? 0 : bookedOf(this.client) + more
    if (ofClient > this.bounds.perClient || !counters.budgetReserve(more, boundOf(this.bounds, bytes))) return false
    if (this.client !== undefined) book(this.client, more)
    this.held = bytes
    return true
  }

  /** `bytes`: without the look-ahead. */
  report(bytes) {
    const ahead = this.held - bytes
    const all = counters.budgetInFlight() - ahead
    const ofClient = this.client === undefined ? 0 : bookedOf(this.client) - ahead
    const isOver = ({ budget }) => all > boundOf(budget, bytes) || ofClient > budget.perClient
    const over = this.observers.filter(isOver)
    if (over.length === 0) return
    this.observers = this.observers.filter(observer => !over.includes(observer))
    for (const { onExceeded } of over) onExceeded()
  }

  countedOf(decoder) {
    return this.bounds.bytes >= SHARED_FROM ? decoder : 0
  }

  /** Reduces the room to `bytes`. */
  shrink(bytes) {
    const less = this.held - bytes
    if (less <= 0) return
    counters.budgetRelease(less)
    if (this.client !== undefined) book(this.client, -less)
    this.held = bytes
  }
}

function bookedOf(client) {
  return held.get(client) ?? 0
}

function book(client, bytes) {
  const all = bookedOf(client) + bytes
  if (all > 0) held.set(client, all)
  else held.delete(client)
}

function refusal({ bytes, most, perClient }, tap, detail) {
  const size = Math.max(detail.length ?? 0, detail.received ?? 0) + tap.decoderBytes
  const limit = Math.min(perClient, size > SMALL_BYTES ? most : bytes)
  // A body that can never fit gets 413: after a 503 the client would retry forever.
  if (size > limit) return tooLarge({ limit, ...detail })
  return overBudget({ limit: bytes, inFlight: counters.budgetInFlight(), retryAfterS: retryAfterS(), ...detail })
}

/** The time after which a refused client may retry. It is random, so that the retries are spread. */
function retryAfterS() {
  const [from, to] = RETRY_AFTER_S
  return from + Math.floor(Math.random() * (to - from + 1))
}

module.exports = { settings, reserve, retryAfterS, addressOf }
