'use strict'

/*
 * What the blocks of one route, or of several that share them, have added to each quantity, and the decisions.
 */

const { native } = require('../core/addon.js')
const { QUANTITIES, boundOf } = require('./quantities.js')

const NAMES = Object.keys(QUANTITIES)

class Series {
  /**
   * `keys`: the routes' numbers in the child's report of retained requests. Growth over fewer than `enoughRequests` is
   * not called a leak.
   */
  constructor(keys, max, enoughRequests = 0) {
    this.keys = keys
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

  /** A few requests of each route are watched in a block, and each represents others. */
  retained(requests, before, after) {
    const part = key =>
      ((after.retained[key] ?? 0) - (before.retained[key] ?? 0)) / Math.max(1, after.watched[key] ?? 0)
    return this.keys.reduce((sum, key) => sum + part(key) * requests, 0)
  }

  /** Whether any quantity has grown by more than is allowed in each of the last `blocks` blocks. */
  keepsGrowing(blocks) {
    if (this.blocks < blocks) return false
    return this.names.some(name => {
      const { perRequest } = boundOf(name, this.max, this.enoughRequests)
      const values = this.values[name].slice(-blocks - 1)
      const requests = this.requests.slice(-blocks - 1)
      return values.every((value, i) => i === 0 || value - values[i - 1] > perRequest * (requests[i] - requests[i - 1]))
    })
  }

  /**
   * The quantities of one of `routes` routes that share the series, which is under. Its growth is from nothing to that
   * of all.
   */
  shareOf(routes) {
    if (routes === 1) return this.decided
    const share = ([name, quantity]) => {
      const { perRequest, low } = quantity
      return [name, { ...quantity, perRequest: perRequest / routes, low: Math.min(low, 0) }]
    }
    return Object.fromEntries(Object.entries(this.decided).map(share))
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

  get names() {
    return NAMES.filter(name => this.values[name] !== null)
  }
}

module.exports = { Series }
