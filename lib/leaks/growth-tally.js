'use strict'

/*
 * What requests leave behind is a leak if it grows with them: a cache on its way to its plateau leaves things behind as well, and so
 * does a burst.
 *
 * A tally counts what is there now, by route and place, and notes at how many requests each new maximum was reached. It grows with
 * requests if the last third of the growth was about as fast as the whole, and the whole took more than a few requests.
 */

const { find } = require('../recorder/findings.js')
const owners = require('./request-owner.js')

/** Places by route; what does not fit is not counted. */
const TALLIES = 1024
/** Maxima that are noted; from then on every other one, every fourth, … */
const MARKS = 128
/** What one request, or a handful, has left behind does not grow with requests. */
const REQUESTS = 10
/** Of all requests, the last third of what was left behind may have taken so many: a third where it comes evenly, more where it fills up. */
const LAST_THIRD = 0.45
/** A finding is counted up when there is so much more. */
const STEP = 1.1

class Tally {
  /** `kept`: by whom it is kept; `tell(tally)` makes severity and advice of it. */
  constructor(kept, title, origin, detail) {
    this.kept = kept
    this.title = title
    this.origin = origin
    this.detail = detail
    this.open = 0
    this.most = 0
    this.reported = 0
    this.lookAt = kept.enough
    this.first = 0
    this.marks = []
    this.stride = 1
  }

  /** One more was left behind. */
  more() {
    this.open += 1
    if (this.open <= this.most) return
    this.most = this.open
    const requests = this.kept.requestsOf(this.title)
    if (this.most === 1) this.first = requests
    this.mark(requests)
    if (this.most < this.lookAt) return
    this.lookAt = Math.ceil(this.most * STEP)
    if (this.grows(requests)) this.report()
  }

  /** So many are gone after all. */
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
        kind: this.kept.kind,
        route: this.title,
        origin: this.origin ?? undefined,
        perThousand: Math.min(1e6, (1000 * this.open) / Math.max(1, this.kept.requestsOf(this.title))),
        ...this.kept.tell(this)
      },
      Math.max(1, times)
    )
  }
}

/** The tallies of one kind of finding, which are worth a word from `enough` on. `requestsOf(title)`: of how many requests. */
class Tallies {
  constructor(kind, enough, tell, requestsOf = owners.requestsOf) {
    this.kind = kind
    this.enough = enough
    this.tell = tell
    this.requestsOf = requestsOf
    this.map = new Map()
  }

  /** Null beyond the bound. */
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

  /** Of what nothing is left, nothing needs to be known. */
  tidy() {
    for (const [key, { open }] of this.map) if (open === 0) this.map.delete(key)
  }
}

module.exports = { Tallies }
