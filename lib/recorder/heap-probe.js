'use strict'

/*
 * Readings that verify the exact probe: V8's figures as the probe reads them, each between two readings by Node.
 * src/probe/v8/layout.rs judges them.
 */

const { constants } = require('node:perf_hooks')
const v8 = require('node:v8')
const { native } = require('../core/addon.js')

const ROUNDS = 8
/** Each round changes `external_memory` and `used_heap_size` by this allocation. */
const ROUND_BYTES = 64 * 1024
const WISHES = ['on', 'off']

/** Names of the binding, and of `v8.getHeapStatistics()`. */
const FIGURES = {
  total: 'total_heap_size',
  executable: 'total_heap_size_executable',
  physical: 'total_physical_size',
  used: 'used_heap_size',
  limit: 'heap_size_limit',
  malloced: 'malloced_memory',
  external: 'external_memory'
}
const READ = new Set(Object.values(FIGURES))
const GC_TYPES = ['MINOR', 'MAJOR', 'INCREMENTAL', 'WEAKCB'].map(type => constants[`NODE_PERFORMANCE_GC_${type}`])

/** The values of `v8.getHeapStatistics()` under the names of the binding. */
function heapFigures(heap = v8.getHeapStatistics()) {
  return {
    total: heap[FIGURES.total],
    executable: heap[FIGURES.executable],
    physical: heap[FIGURES.physical],
    used: heap[FIGURES.used],
    limit: heap[FIGURES.limit],
    malloced: heap[FIGURES.malloced],
    external: heap[FIGURES.external]
  }
}

/** For `native.start`: the readings, or the reason why the probe is off. */
function examine() {
  const wish = process.env.PLIMSOLL_PROBE
  const rounds = []
  const held = []
  while (rounds.length < ROUNDS) {
    held.push(new ArrayBuffer(ROUND_BYTES))
    const before = v8.getHeapStatistics()
    const { figures, reason } = native.readHeap(process.versions.v8, wish)
    const after = v8.getHeapStatistics()
    if (!figures) return { reason, rounds: [], gcTypes: [] }
    rounds.push({ before: heapFigures(before), read: figures, after: heapFigures(after), others: othersOf(before) })
  }
  return { rounds, gcTypes: GC_TYPES }
}

function othersOf(heap) {
  return Object.keys(heap)
    .filter(name => !READ.has(name))
    .map(name => heap[name])
}

/** What is wrong with the environment variable, or null. */
function warning() {
  const wish = process.env.PLIMSOLL_PROBE
  if (!wish || WISHES.includes(wish)) return null
  return `PLIMSOLL_PROBE=${JSON.stringify(wish.slice(0, 100))} is ignored. Set it to 'on' or 'off', or do not set it.`
}

module.exports = { heapFigures, examine, warning }
