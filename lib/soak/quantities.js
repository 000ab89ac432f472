'use strict'

/*
 * The quantities that can leak, and the growth of each that is not yet a leak.
 */

const KIB = 1024
/**
 * Caches and tables are full after this. Growth before is not called a leak, unless it is so large that waiting would
 * crash the app.
 */
const ENOUGH_REQUESTS = 2000
const ENOUGH_BYTES = 64 * KIB * KIB
/** For quantities that are counted: well under the limit of most systems. */
const ENOUGH_COUNT = 200

/**
 * Bytes for each request. A healthy app is within 1 on the heap, and within 20 of malloc, which retains some memory for
 * each thread. Measured over the corpus.
 */
const HEAP = 48
const MALLOC = 256
/** One in 500 requests. */
const COUNT = 0.002

const bytes = (title, perRequest) => ({
  title,
  unit: 'bytes',
  weight: 1,
  perRequest,
  least: 16 * KIB,
  enoughGrowth: ENOUGH_BYTES
})
const count = title => ({
  title,
  unit: 'count',
  weight: 4 * KIB,
  perRequest: COUNT,
  least: 4,
  enoughGrowth: ENOUGH_COUNT
})

const QUANTITIES = {
  heap: bytes('JavaScript heap', HEAP),
  external: bytes('external memory', HEAP),
  malloc: bytes('native memory (malloc)', MALLOC),
  descriptors: count('open descriptors'),
  sockets: count('connections'),
  timers: count('timers'),
  listeners: count('listeners'),
  retained: count('retained requests')
}

/** The bound of a quantity: `max` bytes if the user has set it, but for malloc never less than its noise. */
function boundOf(name, max, enoughRequests) {
  const { unit, weight, perRequest, least, enoughGrowth } = QUANTITIES[name]
  const own = unit === 'bytes' && max !== null ? (name === 'malloc' ? Math.max(max, MALLOC) : max) : perRequest
  return { perRequest: own, least, weight, enoughRequests, enoughGrowth }
}

module.exports = { ENOUGH_REQUESTS, QUANTITIES, boundOf }
