'use strict'

/* What a series of rounds comes to, a request. */

/** The median of the slopes between all pairs (Theil and Sen), which a few odd points do not move. */
function slope(points) {
  const slopes = []
  points.forEach(([x, y], i) => {
    for (const [otherX, otherY] of points.slice(i + 1)) slopes.push((otherY - y) / (otherX - x))
  })
  slopes.sort((a, b) => a - b)
  const middle = slopes.length / 2
  return slopes.length % 2 === 1 ? slopes[Math.floor(middle)] : (slopes[middle - 1] + slopes[middle]) / 2
}

/** Bytes and descriptors kept a request, over the second half of the rounds: by then a cache has filled up. `null`: not to be had. */
function kept(rounds) {
  const half = rounds.slice(Math.floor((rounds.length - 1) / 2))
  const of = field => (half[0][field] === null ? null : slope(half.map(round => [round.requests, round[field]])))
  const requests = half.at(-1).requests - half[0].requests
  return { requests, heap: of('heapUsed'), external: of('external'), rss: of('rss'), descriptors: of('descriptors') }
}

/** Code, feedback and pages of the heap are about 40 KB in half a run, 150 at most; the smallest leak of the corpus is over 800. */
const BYTES = 256 * 1024
const DESCRIPTORS = 0.02

/** Whether what `kept` came to is growth. */
function grows({ requests, heap, external, descriptors }) {
  return Math.max(heap, external) * requests >= BYTES || descriptors >= DESCRIPTORS
}

module.exports = { slope, kept, grows }
