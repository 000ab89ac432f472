'use strict'

/*
 * The rule of next-leak. After a baseline it runs cycles of the same load, each followed by a collection. It ignores
 * the first difference. There is a leak in one of two cases:
 *
 *   1. Each of the other differences is over a threshold.
 *   2. Their mean and two of them are over it, and the heap never falls by more than a tenth of its growth.
 *
 * https://github.com/xabierlameiro/next-leak (src/trend.ts). This is the rule of its documentation and its first
 * versions. Later versions have more rules, and examine external memory in the same way.
 */

const FLOOR = 256 * 1024
const PER_REQUEST = 51.2 * 1024 * 0.001
const LEAST_CYCLES = 3
const STEPS = 2
const GIVEN_BACK = 0.1

/** Whether there is a leak. `heap`: used bytes after the warm-up and after each cycle of `requests` requests. */
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

/** The largest fall from an earlier maximum. */
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
