'use strict'

/*
 * Where the resident set is, and how to return memory that malloc holds free. Both are for explicit calls. glibc's
 * mallinfo2 and malloc_trim lock malloc while they run, so neither belongs in a timer or a scrape.
 */

const { performance } = require('node:perf_hooks')
const v8 = require('node:v8')
const { native, reason } = require('../core/addon.js')
const options = require('../core/options.js')
const runtime = require('./recorder.js')

const UNSUPPORTED = 'unsupported'
/** How often the event loop is sampled while it may be blocked. */
const SAMPLE_MS = 5

/** The running call, if any. Overlapping calls share it. */
const running = new Map()

/** The resident set of this process, in parts that add up to it. */
function memory(...given) {
  return shared('memory()', given, readMemory)
}

/** Returns the memory that malloc and jemalloc hold free to the system. */
function trim(...given) {
  return shared('trim()', given, trimNow)
}

function shared(name, given, work) {
  try {
    options.none(name, given)
  } catch (error) {
    return Promise.reject(error)
  }
  if (!running.has(name))
    running.set(
      name,
      work().finally(() => running.delete(name))
    )
  return running.get(name)
}

async function readMemory() {
  const usage = process.memoryUsage()
  const heap = runtime.heapFigures()
  const own = { at: Date.now(), pid: process.pid, v8: heapReport(heap, usage) }
  if (!runtime.start()) return { ...own, ...withoutBinary(heap, usage) }
  const { value, stalledMs } = await watched(() =>
    native.memory({ heap, arrayBuffers: usage.arrayBuffers, rss: usage.rss })
  )
  return { ...own, ...JSON.parse(value), stalledMs }
}

async function trimNow() {
  if (!runtime.start()) throw new Error(`plimsoll: no trim: ${reason}`)
  const before = process.memoryUsage.rss()
  const { value, stalledMs } = await watched(() => native.trim())
  const rssBeforeBytes = value.rssBefore || before
  const rssAfterBytes = value.rssAfter || process.memoryUsage.rss()
  const tookMs = value.tookMs
  native.event(
    'trim',
    null,
    `RSS ${mib(rssBeforeBytes)} before, ${mib(rssAfterBytes)} after; took ${tookMs.toFixed(1)} ms, the event loop was blocked ` +
      `for ${stalledMs.toFixed(1)} ms`
  )
  return {
    rssBeforeBytes,
    rssAfterBytes,
    freedBytes: rssBeforeBytes - rssAfterBytes,
    tookMs,
    stalledMs,
    malloc: value.malloc ?? UNSUPPORTED,
    jemalloc: value.jemalloc ?? UNSUPPORTED
  }
}

/** Runs `work`, and measures the longest time for which the event loop was blocked meanwhile, for any reason. */
async function watched(work) {
  let last = performance.now()
  let stalledMs = 0
  const sample = () => {
    const now = performance.now()
    stalledMs = Math.max(stalledMs, now - last - SAMPLE_MS)
    last = now
  }
  const timer = setInterval(sample, SAMPLE_MS)
  try {
    const value = await work()
    // The loop may get here before the timer.
    sample()
    return { value, stalledMs }
  } finally {
    clearInterval(timer)
  }
}

function heapReport(heap, usage) {
  return {
    usedBytes: heap.used,
    totalBytes: heap.total,
    physicalBytes: heap.physical,
    limitBytes: heap.limit,
    mallocedBytes: heap.malloced,
    externalBytes: heap.external,
    arrayBuffersBytes: usage.arrayBuffers,
    spaces: v8.getHeapSpaceStatistics().map(space => ({
      name: space.space_name,
      physicalBytes: space.physical_space_size,
      usedBytes: space.space_used_size,
      totalBytes: space.space_size,
      availableBytes: space.space_available_size
    }))
  }
}

/** The figures that Node itself has. */
function withoutBinary(heap, usage) {
  const missing = `not known without the addon: ${reason}`
  const unknown = name => ({ name, bytes: UNSUPPORTED, meaning: missing, advice: null })
  let rest = usage.rss
  const part = (name, bytes, meaning) => {
    const there = Math.min(bytes, rest)
    rest -= there
    return { name, bytes: there, meaning, advice: null }
  }
  return {
    rssBytes: usage.rss,
    parts: [
      part('v8-heap', heap.physical, "JavaScript objects and code of this thread, with free space in V8's pages"),
      unknown('v8-other'),
      part('array-buffers', usage.arrayBuffers, 'contents of Buffers and ArrayBuffers'),
      part('v8-malloc', heap.malloced, 'memory that V8 itself has from malloc: the parser, the compilers'),
      ...['malloc-in-use', 'malloc-free', 'jemalloc', 'code', 'mapped-files', 'shared-memory', 'thread-stacks'].map(
        unknown
      ),
      part('unexplained', rest, 'memory that Node does not report separately: malloc, code, mapped files, stacks')
    ],
    allocator: UNSUPPORTED,
    glibc: UNSUPPORTED,
    jemalloc: UNSUPPORTED,
    cgroup: UNSUPPORTED,
    hugePageBytes: UNSUPPORTED,
    swappedBytes: UNSUPPORTED,
    stalledMs: 0
  }
}

function mib(bytes) {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

module.exports = { memory, trim }
