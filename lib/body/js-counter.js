'use strict'

/*
 * The tap's counters without the addon. Without a binary, guards must neither prevent the start nor fail open.
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
  /** For this thread only. */
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
