'use strict'

/*
 * What can leak, and what growth of each is nobody's leak yet.
 */

const KIB = 1024
/** What fills up has filled up by then: growth before is not called a leak, unless it is so large that waiting would end the app. */
const ENOUGH_REQUESTS = 2000
const ENOUGH_BYTES = 64 * KIB * KIB
/** Of what is counted: under a hundred of the limit of most systems. */
const ENOUGH_COUNT = 200

/**
 * Bytes a request. A healthy app is within 1 on the heap, and within 20 of malloc, which keeps some for each thread; as measured over the corpus.
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

/** The bound of a quantity: `max` bytes, where the user has said so, but of malloc never less than its noise. */
function boundOf(name, max, enoughRequests) {
  const { unit, weight, perRequest, least, enoughGrowth } = QUANTITIES[name]
  const own = unit === 'bytes' && max !== null ? (name === 'malloc' ? Math.max(max, MALLOC) : max) : perRequest
  return { perRequest: own, least, weight, enoughRequests, enoughGrowth }
}

module.exports = { ENOUGH_REQUESTS, QUANTITIES, boundOf }
