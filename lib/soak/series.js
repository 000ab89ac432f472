'use strict'

/*
 * What the blocks of one route have added to each quantity, and the decisions.
 */

const { native } = require('../core/addon.js')
const { QUANTITIES, boundOf } = require('./quantities.js')

const NAMES = Object.keys(QUANTITIES)

class Series {
  /**
   * `key`: the route's number in the child's report of retained requests. Growth over fewer than `enoughRequests` is
   * not called a leak.
   */
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

  /** A block of `requests` requests lies between these figures. */
  add(requests, before, after) {
    this.requests.push(this.total + requests)
    for (const name of this.names) {
      const values = this.values[name]
      // The platform does not report this quantity.
      if (after[name] === null) this.values[name] = null
      else values.push(values.at(-1) + this.growth(name, requests, before, after))
    }
  }

  /** Whether any quantity has grown by more than this number of requests may retain. */
  grows(requests, before, after) {
    return this.names.some(name => {
      const { perRequest } = boundOf(name, this.max, this.enoughRequests)
      return this.growth(name, requests, before, after) > perRequest * requests
    })
  }

  growth(name, requests, before, after) {
    return name === 'retained' ? this.retained(requests, before, after) : after[name] - before[name]
  }

  /** A few requests of a block are watched, and each represents others. */
  retained(requests, before, after) {
    const [was, is] = [before, after].map(({ retained }) => retained[this.key] ?? 0)
    return ((is - was) * requests) / Math.max(1, after.watched)
  }

  /** `over` if any quantity is over its bound, `open` if any is undecided, otherwise `under`. */
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

  /**
   * There will be no more blocks. If growth is not even likely, there is none. With a bound by the user, the series
   * must show that it is under it.
   */
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

  /** Whether any of the quantities grew in these blocks by at least half of its growth in the other series. */
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
