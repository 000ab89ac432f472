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
const { overBudget, tooLarge } = require('../core/errors.js')
const hook = require('../core/hook.js')
const options = require('../core/options.js')
const tap = require('./tap.js')

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
    options.fail(`${where}.client`, client, 'a function beside perClient, which it is for')
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

/** The app's way to name a client, for servers behind a proxy. Requests whose name is not known share one bound. */
function clientOf(where, client) {
  if (typeof client !== 'function') options.fail(where, client, 'a function of the request, like req => req.ip')
  return hook(where, client, name => options.string(`what ${where} returns`, name, CLIENT_LENGTH), '')
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
 * is called if it runs out of room later.
 */
function reserve(req, res, { length, inflated, budget }, over) {
  const room = tap.room(req, res, () => new Room(inflated ? -1 : length))
  if (room === null) return null
  const grown = () => over(req, res, refusal(budget, req, { received: tap.received(req) }))
  if (room.enter(budget, req, grown) && room.grow(tap.received(req), tap.decoderBytes(req))) return null
  // It is refused, or reported, once.
  room.grown = null
  return refusal(budget, req, length === -1 ? { received: tap.received(req) } : { length })
}

/** What one body holds, within the budgets of all the guards that it has passed. */
class Room {
  constructor(declared) {
    /** -1 where the length is not known, or the body is inflated. */
    this.declared = declared
    this.held = 0
    this.bytes = Number.POSITIVE_INFINITY
    this.most = Number.POSITIVE_INFINITY
    this.perClient = Number.POSITIVE_INFINITY
    this.client = undefined
    this.grown = null
  }

  /** From here on it is within `budget` as well; `grown()` is called when there is no more room. False if it cannot fit now. */
  enter(budget, req, grown) {
    this.bytes = Math.min(this.bytes, budget.bytes)
    this.most = Math.min(this.most, budget.most)
    if (budget.perClient < this.perClient) {
      this.perClient = budget.perClient
      this.client ??= budget.clientOf(req)
      if (this.held > 0) held.set(this.client, (held.get(this.client) ?? 0) + this.held)
    }
    this.grown = grown
    const { declared } = this
    return declared <= this.perClient && tap.inFlight() - this.held + Math.max(0, declared) <= this.boundOf(declared)
  }

  boundOf(bytes) {
    return bytes > SMALL_BYTES ? this.most : this.bytes
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
    return (ahead > bytes && this.hold(ahead)) || this.hold(bytes)
  }

  hold(bytes) {
    const more = bytes - this.held
    const ofClient = this.client === undefined ? 0 : (held.get(this.client) ?? 0) + more
    if (ofClient > this.perClient || !tap.take(more, this.boundOf(bytes))) return false
    if (this.client !== undefined) held.set(this.client, ofClient)
    this.held = bytes
    return true
  }

  countedOf(decoder) {
    return this.bytes >= SHARED_FROM ? decoder : 0
  }

  /** Holds no more than `bytes` from here on. */
  shrink(bytes) {
    const less = this.held - bytes
    if (less <= 0) return
    tap.giveBack(less)
    if (this.client !== undefined) {
      const left = (held.get(this.client) ?? 0) - less
      if (left > 0) held.set(this.client, left)
      else held.delete(this.client)
    }
    this.held = bytes
  }
}

function refusal({ bytes, most, perClient }, req, detail) {
  const size = Math.max(detail.length ?? 0, detail.received ?? 0) + tap.decoderBytes(req)
  const limit = Math.min(perClient, size > SMALL_BYTES ? most : bytes)
  // What is larger than all that it may ever hold would be asked to come again forever.
  if (size > limit) return tooLarge({ limit, ...detail })
  return overBudget({ limit: bytes, inFlight: tap.inFlight(), retryAfterS: retryAfterS(), ...detail })
}

/** When a refused client may come again: spread, or all would come at once. */
function retryAfterS() {
  const [from, to] = RETRY_AFTER_S
  return from + Math.floor(Math.random() * (to - from + 1))
}

module.exports = { settings, reserve, retryAfterS, addressOf }
