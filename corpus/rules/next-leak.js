'use strict'

/*
 * next-leak's rule: a baseline, then cycles of the same load with a collection behind each. The first difference is dropped. A leak: each of the
 * others is over a gate; or their mean is, two of them are, and the curve never gives back more than a tenth of what it gained.
 * https://github.com/xabierlameiro/next-leak (src/trend.ts), as its first versions had it and as it is described; later ones have acquittals and
 * warnings besides, and look at external memory the same way.
 */

const FLOOR = 256 * 1024
const PER_REQUEST = 51.2 * 1024 * 0.001
const LEAST_CYCLES = 3
const STEPS = 2
const GIVEN_BACK = 0.1

/** `heap`: used bytes after the warm-up and after each cycle of `requests`. */
function nextLeak(heap, requests) {
  if (heap.length < LEAST_CYCLES + 1) return false
  const gate = Math.max(FLOOR, PER_REQUEST * requests)
  const counted = heap.slice(1)
  const deltas = counted.slice(1).map((bytes, i) => bytes - counted[i])
  if (deltas.every(delta => delta >= gate)) return true
  const gained = counted.at(-1) - counted[0]
  const stepwise = deltas.filter(delta => delta >= gate).length >= STEPS && gained / deltas.length >= gate
  return stepwise && drawdown(counted) <= gained * GIVEN_BACK
}

/** The furthest below the highest before it. */
function drawdown(series) {
  let peak = series[0]
  let worst = 0
  for (const value of series) {
    peak = Math.max(peak, value)
    worst = Math.max(worst, peak - value)
  }
  return worst
}

module.exports = { nextLeak }
