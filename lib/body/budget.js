'use strict'

/*
 * One budget for the bodies in flight of the whole process. A claim costs nothing: a body holds what has arrived of it, and of a declared
 * length a bounded look-ahead. A body that finds no room is refused at once, so half-read bodies never wait for room that the others
 * hold. A compressed body holds what it has grown to, and its decoder. Three rules keep room for honest clients beside slow ones:
 *
 * 1. A share of the budget is kept for small bodies.
 * 2. `perClient` bounds what the bodies of one client hold.
 * 3. `minRate` grows with what a body holds (min-rate.js).
 */

const net = require('node:net')
const { native } = require('../core/addon.js')
const { overBudget, tooLarge } = require('../core/errors.js')
const hook = require('../core/hook.js')
const options = require('../core/options.js')
const { tapOf } = require('./tap.js')
const counters = native ?? require('./js-counter.js')

const RETRY_AFTER_S = [1, 5]
/** Up to this size a body is a small one. */
const SMALL_BYTES = 64 * 2 ** 10
/** Of a budget from 1 MiB on, an eighth is kept for small bodies, up to 16 MiB, and decoders count: a smaller one has no room for any. */
const SHARED_FROM = 2 ** 20
const SMALL_SHARE = 1 / 8
const SMALL_SHARE_MAX = 16 * 2 ** 20
const CLIENT_LENGTH = 256
/** Of a declared length, what is reserved beyond what has come. */
const LOOK_AHEAD = 64 * 2 ** 10
const KNOWN = ['bytes', 'perClient', 'client']

/** Client -> bytes that its bodies hold, of those that hold any. */
const held = new Map()

/** `limit()`'s option, checked: `{ bytes, most, perClient, clientOf }`, sizes in bytes; null without a budget. */
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
    /** What bodies that are not small may hold with all others. */
    most: bytes - Math.floor(kept),
    perClient: perClient === undefined ? Number.POSITIVE_INFINITY : options.size(`${where}.perClient`, perClient),
    clientOf: client === undefined ? addressOf : clientOf(`${where}.client`, client)
  }
}

/** The app's way to name a client, for servers behind a proxy. Requests that have no name share one bound. */
function clientOf(where, client) {
  if (typeof client !== 'function') options.fail(where, client, 'a function of the request, like req => req.ip')
  return hook(where, client, name => nameOf(`what ${where} returns`, name), '')
}

function nameOf(where, name) {
  if (name === undefined || name === null) return ''
  return typeof name === 'string' ? name.slice(0, CLIENT_LENGTH) : options.fail(where, name, 'a string')
}

/** The client's address; of IPv6 the network, of which one client has all addresses. */
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
 * Reserves for a body of `length` (-1: unknown) bytes, which may be `inflated`; the refusal if there is no room. `over(req, res, error)`
 * is called if it runs out of room later. With `report` it bounds nothing, and `over` is called where it would be out of room.
 */
function reserve(req, res, { length, inflated, budget, report }, over) {
  const tap = tapOf(req, res)
  const room = tap.roomOf(() => new Room(inflated ? -1 : length))
  if (room === null) return null
  const onExceeded = () => over(req, res, refusal(budget, tap, { received: tap.received }))
  const grow = () => room.grow(tap.received, tap.decoderBytes)
  if (report) {
    const fits = room.observe(budget, req, onExceeded)
    // What it holds counts for other guards, which may refuse.
    grow()
    if (fits) return null
  } else {
    if (room.enter(budget, req, onExceeded) && grow()) return null
    // It is refused once.
    room.onBudgetExceeded = null
  }
  return refusal(budget, tap, length === -1 ? { received: tap.received } : { length })
}

const UNBOUNDED = {
  bytes: Number.POSITIVE_INFINITY,
  most: Number.POSITIVE_INFINITY,
  perClient: Number.POSITIVE_INFINITY
}

/** What bodies together may hold of a budget where one of them holds `bytes`. */
function boundOf({ most, bytes: all }, bytes) {
  return bytes > SMALL_BYTES ? most : all
}

/** What one body holds, within the budgets of all the guards that it has passed. */
class Room {
  constructor(declared) {
    /** -1 where the length is not known, or the body is inflated. */
    this.declared = declared
    this.held = 0
    /** The lowest of those that guards enforce. */
    this.bounds = UNBOUNDED
    this.onBudgetExceeded = null
    /** `{ budget, onExceeded }` of guards that only report, each until it has. */
    this.observers = []
    this.client = undefined
  }

  /** From now on it is within `budget` as well; `onExceeded()` is called when there is no more room. False if it cannot fit now. */
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

  /** As `enter`, for a guard that bounds nothing: `onExceeded()` is called when it would be out of room. */
  observe(budget, req, onExceeded) {
    this.identify(budget, req)
    const may = this.mayClaim(budget)
    if (may) this.observers.push({ budget, onExceeded })
    return may
  }

  /** Whose it is: as the first guard names it that bounds clients. */
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
   * Takes room for `received` bytes and a decoder of `decoder` bytes, with a look-ahead where the length is known; false if there is
   * none.
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

  /** Holds no more than `bytes` from here on. */
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
  // What is larger than all that it may ever hold would be asked to come again forever.
  if (size > limit) return tooLarge({ limit, ...detail })
  return overBudget({ limit: bytes, inFlight: counters.budgetInFlight(), retryAfterS: retryAfterS(), ...detail })
}

/** When a refused client may come again: spread, or all would come at once. */
function retryAfterS() {
  const [from, to] = RETRY_AFTER_S
  return from + Math.floor(Math.random() * (to - from + 1))
}

module.exports = { settings, reserve, retryAfterS, addressOf }
