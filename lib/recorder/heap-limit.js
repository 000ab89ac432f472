'use strict'

/*
 * The limits on the heap's size, and the reserve that V8 is granted near its limit.
 */

const v8 = require('node:v8')
const { isMainThread, resourceLimits } = require('node:worker_threads')
const options = require('../core/options.js')

const DEFAULT_RESERVE = { percent: 5 }
/** A reserve is for draining the requests in flight, not for normal use. */
const MAX_PERCENT = 50
const PERCENT = /^(\d+(?:\.\d+)?) ?%$/
const TAKES = `a share of the heap limit up to '${MAX_PERCENT}%', or a size like '64mb'`

/** The checked option `nearLimit`: false, `{ percent }` or `{ bytes }`. */
function reserve(where, given) {
  if (given === false) return false
  const { reserve } = options.object(where, given, ['reserve'])
  if (reserve === undefined) return DEFAULT_RESERVE
  const percent = typeof reserve === 'string' ? PERCENT.exec(reserve) : null
  if (percent === null) {
    const bytes = options.size(`${where}.reserve`, reserve, TAKES)
    return bytes > 0 ? { bytes } : options.fail(`${where}.reserve`, reserve, `${TAKES}, over 0`)
  }
  const share = Number(percent[1])
  return share > 0 && share <= MAX_PERCENT ? { percent: share } : options.fail(`${where}.reserve`, reserve, TAKES)
}

function forNative(reserve) {
  const flags = [...(process.env.NODE_OPTIONS ?? '').split(/\s+/), ...process.execArgv]
  const noReserve = reasonAgainst(reserve, flags)
  return {
    flags,
    youngGeneration: (resourceLimits.maxYoungGenerationSizeMb ?? 0) * 2 ** 20,
    reserve: noReserve === undefined ? bytesOf(reserve) : undefined,
    noReserve
  }
}

function bytesOf({ percent, bytes }) {
  const limit = v8.getHeapStatistics().heap_size_limit
  return Math.min(bytes ?? (percent / 100) * limit, (MAX_PERCENT / 100) * limit)
}

/** Why V8 is not granted a reserve. Undefined if it is. */
function reasonAgainst(reserve, flags) {
  if (reserve === false) return 'switched off by the option nearLimit'
  // Node's own callback turns a worker's limit into an error of that worker, and V8 calls only the newest callback.
  if (!isMainThread) return 'a worker thread has its own heap limit, which Node handles'
  if (flags.some(flag => /^--heap(snapshot|-prof)-near-heap-limit\b/.test(flag.replaceAll('_', '-')))) {
    return 'V8 calls only one callback near the limit, and a --heap…-near-heap-limit flag uses it'
  }
  return undefined
}

module.exports = { DEFAULT_RESERVE, reserve, forNative }
