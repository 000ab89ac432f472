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
 */

const { find } = require('../recorder/findings.js')
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
    this.marks = []
    this.stride = 1
  }

  /** One more was left behind. */
  more() {
    this.open += 1
    if (this.open <= this.most) return
    this.most = this.open
    const requests = this.tallies.requestsOf(this.title)
    if (this.most === 1) this.first = requests
    this.mark(requests)
    if (this.most < this.lookAt) return
    this.lookAt = Math.ceil(this.most * STEP)
    if (this.grows(requests)) this.report()
  }

  /** `number` of them are gone now. */
  less(number = 1) {
    this.open = Math.max(0, this.open - number)
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

  report() {
    const times = this.open - this.reported
    this.reported = this.open
    find(
      {
        kind: this.tallies.kind,
        route: this.title,
        origin: this.origin ?? undefined,
        perThousand: Math.min(1e6, (1000 * this.open) / Math.max(1, this.tallies.requestsOf(this.title))),
        ...this.tallies.messageOf(this)
      },
      Math.max(1, times)
    )
  }
}

/**
 * The tallies of one kind of finding. A finding is reported from `enough` on.
 *
 * `messageOf(tally)` returns its severity and advice, `requestsOf(title)` the number of requests to compare with.
 */
class Tallies {
  constructor(kind, enough, messageOf, requestsOf = owners.requestsOf) {
    this.kind = kind
    this.enough = enough
    this.messageOf = messageOf
    this.requestsOf = requestsOf
    this.map = new Map()
  }

  /** Returns null when there are `TALLIES` already. */
  of(title, origin, detail = '') {
    const key = `${title}\0${origin}\0${detail}`
    const known = this.map.get(key)
    if (known !== undefined) return known
    if (this.map.size >= TALLIES) this.tidy()
    if (this.map.size >= TALLIES) return null
    const tally = new Tally(this, title, origin, detail)
    this.map.set(key, tally)
    return tally
  }

  /** A tally that has counted down to 0 needs no memory. */
  tidy() {
    for (const [key, { open }] of this.map) if (open === 0) this.map.delete(key)
  }
}

module.exports = { Tallies }
