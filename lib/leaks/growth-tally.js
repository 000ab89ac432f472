'use strict'

/*
 * Separates leaks from caches and bursts: what stays after requests is a leak if it grows with requests. A cache that
 * fills leaves something too, and so does a burst.
 *
 * A tally counts what is there now, by route and call site. It notes the number of requests at each new maximum. The
 * count grows with requests if two conditions hold:
 *
 * 1. The last third of the growth was about as fast as the whole.
 * 2. The whole took more than a few requests.
 *
 * A finding is withdrawn when most of what was counted is gone, or when the count has stopped growing. It is reported
 * again only beyond the former maximum.
 */

const internalErrors = require('../core/internal-errors.js')
const { outside } = require('../core/outside-requests.js')
const { find, withdraw } = require('../recorder/findings.js')
const owners = require('./request-owner.js')

/** Tallies by route and call site. Further ones are not counted. */
const TALLIES = 1024
/** Maxima that are noted. When the list is full, every other one is dropped and the stride doubles. */
const MARKS = 128
/** What fewer requests have left behind does not count as growth with requests. */
const REQUESTS = 10
/**
 * The largest share of all requests that the last third of the growth may have taken. It is a third when growth is
 * even, and more when a cache fills up.
 */
const LAST_THIRD = 0.45
/** A finding is updated when the count has grown by this factor. */
const STEP = 1.1
/** A finding is withdrawn when less than this part of what it counted, or of what makes a finding, is there. */
const GONE = 0.5
/**
 * The count has stopped growing if there was no new maximum for this many times the requests that one took on average,
 * and for at least this many requests.
 */
const STOPPED = 30
const STOPPED_REQUESTS = 1000
const CHECK_MS = 2000

/** Tallies whose finding is not withdrawn. They are checked from time to time. */
const reported = new Set()
let timer = null

class Tally {
  /** `tallies`: the `Tallies` that this tally belongs to. */
  constructor(tallies, title, origin, detail) {
    this.tallies = tallies
    this.title = title
    this.origin = origin
    this.detail = detail
    this.open = 0
    this.most = 0
    this.reported = 0
    this.lookAt = tallies.enough
    this.first = 0
    /** Number of requests at the last maximum. */
    this.grownAt = 0
    this.marks = []
    this.stride = 1
  }

  /** One more was left behind, when there had been this many requests. */
  more(requests = this.tallies.requestsOf(this.title)) {
    this.open += 1
    if (this.open <= this.most) return
    this.most = this.open
    this.grownAt = requests
    if (this.most === 1) this.first = requests
    this.mark(requests)
    if (this.most < this.lookAt) return
    this.lookAt = Math.ceil(this.most * STEP)
    if (this.grows(requests)) this.report()
  }

  /** `number` of them are gone now. */
  less(number = 1) {
    this.open = Math.max(0, this.open - number)
    this.check()
  }

  /** Withdraws the finding if what it counted is gone, or no longer grows. */
  check() {
    if (!reported.has(this)) return
    if (this.open < GONE * Math.min(this.reported, this.tallies.enough))
      return this.withdraw(`${this.open} now, ${this.most} at most`)
    const since = this.tallies.requestsOf(this.title) - this.grownAt
    if (since >= Math.max(STOPPED_REQUESTS, (STOPPED * (this.grownAt - this.first)) / this.most))
      this.withdraw(`there were no more than ${this.most} in the last ${since} requests`)
  }

  withdraw(now) {
    reported.delete(this)
    this.reported = 0
    const { severity, what } = this.tallies.messageOf(this)
    withdraw({ ...this.identity(), severity, advice: `no longer growing: ${what}. ${now}` })
    this.renew(Math.ceil(this.most * STEP))
  }

  /** Counts the growth from here on, and checks it from `lookAt` on. */
  renew(lookAt) {
    const requests = this.tallies.requestsOf(this.title)
    this.most = this.open
    this.first = requests
    this.grownAt = requests
    this.stride = 1
    while (this.open >= MARKS * this.stride) this.stride *= 2
    this.marks = new Array(Math.floor(this.open / this.stride)).fill(requests)
    this.lookAt = lookAt
  }

  /** Whether it has grown since is not known. */
  mayGrow() {
    this.grownAt = this.tallies.requestsOf(this.title)
  }

  identity() {
    return { kind: this.tallies.kind, route: this.title, origin: this.origin ?? undefined }
  }

  mark(requests) {
    if (this.most % this.stride !== 0) return
    if (this.marks.push(requests) < MARKS) return
    this.stride *= 2
    this.marks = this.marks.filter((_, at) => at % 2 === 1)
  }

  grows(requests) {
    const whole = requests - this.first
    const twoThirds = this.marks[Math.floor((2 * this.most) / 3 / this.stride) - 1] ?? this.first
    return whole >= REQUESTS && requests - twoThirds <= LAST_THIRD * whole
  }

  /** `instead`: severity and advice, if they are others than usual. */
  report(instead) {
    const times = Math.max(this.reported === 0 ? 1 : 0, this.open - this.reported)
    this.reported = this.open
    const { severity, advice } = instead ?? this.tallies.messageOf(this)
    const perThousand = Math.min(1e6, (1000 * this.open) / Math.max(1, this.tallies.requestsOf(this.title)))
    find({ ...this.identity(), perThousand, severity, advice }, times)
    reported.add(this)
    timer ??= outside(() => setInterval(checkAll, CHECK_MS).unref())
  }
}

const checkAll = internalErrors.guarded('when findings were checked again', () => {
  for (const tally of reported) {
    tally.tallies.recount?.(tally)
    tally.check()
  }
  if (reported.size > 0) return
  clearInterval(timer)
  timer = null
})

/**
 * The tallies of one kind of finding. A finding is reported from `enough` on.
 *
 * `messageOf(tally)` returns its severity, its advice, and what it counts (for the withdrawal). `requestsOf(title)` is
 * the number of requests to compare with. `recount(tally)`, if there is one, subtracts what is gone.
 */
class Tallies {
  constructor(kind, enough, messageOf, { requestsOf = owners.requestsOf, recount = null } = {}) {
    this.kind = kind
    this.enough = enough
    this.messageOf = messageOf
    this.requestsOf = requestsOf
    this.recount = recount
    this.map = new Map()
  }

  /** Returns null when there are `TALLIES` already. */
  of(title, origin, detail = '') {
    const key = keyOf(title, origin, detail)
    const known = this.map.get(key)
    if (known !== undefined) return known
    if (this.map.size >= TALLIES) this.tidy()
    if (this.map.size >= TALLIES) return null
    const tally = new Tally(this, title, origin, detail)
    this.map.set(key, tally)
    return tally
  }

  /** Undefined if there is none. */
  known(title, origin, detail = '') {
    return this.map.get(keyOf(title, origin, detail))
  }

  /** A tally that has counted down to 0 needs no memory. */
  tidy() {
    for (const [key, { open }] of this.map) if (open === 0) this.map.delete(key)
  }
}

function keyOf(...parts) {
  return parts.join('\0')
}

module.exports = { Tallies }
