'use strict'

/* What a series of rounds retains per request. */

/** The median of the slopes between all pairs of points (Theil and Sen). A few outliers do not change it. */
function slope(points) {
  const slopes = []
  points.forEach(([x, y], i) => {
    for (const [otherX, otherY] of points.slice(i + 1)) slopes.push((otherY - y) / (otherX - x))
  })
  slopes.sort((a, b) => a - b)
  const middle = slopes.length / 2
  return slopes.length % 2 === 1 ? slopes[Math.floor(middle)] : (slopes[middle - 1] + slopes[middle]) / 2
}

/**
 * Bytes and descriptors retained per request, over the second half of the rounds: by then a cache is full. A figure is
 * `null` if the platform does not have it.
 */
function kept(rounds) {
  const half = rounds.slice(Math.floor((rounds.length - 1) / 2))
  const of = field => (half[0][field] === null ? null : slope(half.map(round => [round.requests, round[field]])))
  const requests = half.at(-1).requests - half[0].requests
  return { requests, heap: of('heapUsed'), external: of('external'), rss: of('rss'), descriptors: of('descriptors') }
}

/** Code, feedback and heap pages grow by some 40 KB in half a run, at most 150. The smallest leak grows by over 800 KB. */
const BYTES = 256 * 1024
const DESCRIPTORS = 0.02

/** Whether the result of `kept` is a leak. */
function grows({ requests, heap, external, descriptors }) {
  return Math.max(heap, external) * requests >= BYTES || descriptors >= DESCRIPTORS
}

module.exports = { slope, kept, grows }
