'use strict'

/*
 * What the blocks of one route have added, quantity by quantity, and what is decided of each.
 */

const { native } = require('../core/addon.js')
const { QUANTITIES, boundOf } = require('./quantities.js')

const NAMES = Object.keys(QUANTITIES)

class Series {
  /** `key`: the route's number in what the child says of requests that live on. Growth over fewer than `enoughRequests` is not called a leak. */
  constructor(key, max, enoughRequests = 0) {
    this.key = key
    this.max = max
    this.enoughRequests = enoughRequests
    this.requests = [0]
    this.values = Object.fromEntries(NAMES.map(name => [name, [0]]))
    this.decided = {}
  }

  get blocks() {
    return this.requests.length - 1
  }

  get total() {
    return this.requests.at(-1)
  }

  /** A block of so many requests has come between these figures. */
  add(requests, before, after) {
    this.requests.push(this.total + requests)
    for (const name of this.names) {
      const values = this.values[name]
      // What the platform does not tell.
      if (after[name] === null) this.values[name] = null
      else values.push(values.at(-1) + this.growth(name, requests, before, after))
    }
  }

  /** Whether there is more of anything than so many requests may keep. */
  grows(requests, before, after) {
    return this.names.some(name => {
      const { perRequest } = boundOf(name, this.max, this.enoughRequests)
      return this.growth(name, requests, before, after) > perRequest * requests
    })
  }

  growth(name, requests, before, after) {
    return name === 'retained' ? this.retained(requests, before, after) : after[name] - before[name]
  }

  /** Of a block a few requests are watched; each of them stands for others. */
  retained(requests, before, after) {
    const [was, is] = [before, after].map(({ retained }) => retained[this.key] ?? 0)
    return ((is - was) * requests) / Math.max(1, after.watched)
  }

  /** `over` if any quantity is, `open` if any still may be, else `under`. */
  decide() {
    for (const name of this.names) {
      const bound = boundOf(name, this.max, this.enoughRequests)
      const answer = native.soakDecide(Float64Array.from(this.requests), Float64Array.from(this.values[name]), bound)
      const { decision, value = null, low = null, high = null } = answer
      const { title, unit } = QUANTITIES[name]
      this.decided[name] = { title, unit, verdict: decision, perRequest: value, low, high, bound: bound.perRequest }
    }
    return this.decision
  }

  get decision() {
    const verdicts = Object.values(this.decided).map(({ verdict }) => verdict)
    return ['over', 'open'].find(verdict => verdicts.includes(verdict)) ?? 'under'
  }

  /** There will be no more blocks: where growth is not even likely, there is none. With a bound of the user's, that must be shown. */
  close() {
    for (const quantity of Object.values(this.decided)) {
      const { verdict, low, unit } = quantity
      if (verdict === 'open' && low !== null && low <= 0 && (this.max === null || unit === 'count'))
        quantity.verdict = 'under'
    }
    return this.decision
  }

  /** The quantities that are over. */
  get over() {
    return Object.keys(this.decided).filter(name => this.decided[name].verdict === 'over')
  }

  /** Whether in these blocks any of the quantities grew by at least half of what it grows by there. */
  growsAs(other) {
    return other.over.some(name => {
      const values = this.values[name]
      return values !== null && values.at(-1) >= (other.decided[name].low / 2) * this.total
    })
  }

  get names() {
    return NAMES.filter(name => this.values[name] !== null)
  }
}

module.exports = { Series }
