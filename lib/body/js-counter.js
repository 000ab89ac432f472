'use strict'

/*
 * The tap's counters without the addon: a guard neither stops the boot nor fails open where there is no binary.
 */

const taps = new Map()
let last = 0
let held = 0

module.exports = {
  tapOpen(limit) {
    last += 1
    taps.set(last, { received: 0, limit })
    return last
  },
  tapCount(tap, _handle, bytes) {
    const counter = taps.get(tap)
    if (counter === undefined) return true
    counter.received += bytes
    return counter.received > counter.limit
  },
  tapLower(tap, limit) {
    const counter = taps.get(tap)
    if (counter === undefined) return true
    counter.limit = Math.min(counter.limit, limit)
    return counter.received > counter.limit
  },
  tapReceived(tap) {
    return taps.get(tap)?.received ?? 0
  },
  tapClose(tap) {
    taps.delete(tap)
  },
  /** Of this thread only. */
  budgetReserve(bytes, budget) {
    if (held + bytes > budget) return false
    held += bytes
    return true
  },
  budgetRelease(bytes) {
    held -= bytes
  },
  budgetInFlight() {
    return held
  }
}
