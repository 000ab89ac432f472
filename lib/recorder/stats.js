'use strict'

const v8 = require('node:v8')
const { native } = require('../core/addon.js')
const { withoutBinary } = require('./findings.js')
const runtime = require('./recorder.js')

/** All that is known of this process and its routes, as a plain object. */
function stats() {
  return runtime.start() ? JSON.parse(native.stats()) : fromNode()
}

/** The figures that Node itself has. The others are empty, and `heap.reason` says why. */
function fromNode() {
  const heap = v8.getHeapStatistics()
  return {
    pid: process.pid,
    rssBytes: process.memoryUsage.rss(),
    heap: {
      usedBytes: heap.used_heap_size,
      liveBytes: null,
      limitBytes: heap.heap_size_limit,
      allocatedBytes: 0,
      externalBytes: heap.external_memory,
      attributedBytes: 0,
      unattributedBytes: 0,
      uncertainRequests: 0,
      exact: false,
      reason: runtime.state.reason
    },
    gc: {},
    native: 'unsupported',
    requests: {
      total: 0,
      inFlight: 0,
      untracked: 0,
      limited: 0,
      shed: 0,
      shedReported: 0,
      limitReported: 0,
      overBudget: 0,
      tooSlow: 0,
      bodyHeldBytes: 0
    },
    routes: [],
    findings: withoutBinary(),
    trend: { heap: null, external: null, native: null },
    recorder: { path: null, bytes: 0 }
  }
}

module.exports = { stats, lastDeath: runtime.lastDeath }
