'use strict'

/*
 * V8's sampling heap profiler, read through the inspector. For each sample that is still alive it shows the allocation
 * site.
 *
 * A process has only one such profiler. Starting it twice has no effect and reports no error, and stopping it stops it
 * for all users. So it is not used while other code uses it.
 */

const { pathToFileURL } = require('node:url')
const { native } = require('../core/addon.js')
const { moduleOf, placeOf, sourceOf } = require('../core/call-site.js')
const { LIB } = require('../core/folders.js')

const OWN_URL = pathToFileURL(LIB).href

/** The self-test: average bytes between samples, the number of arrays, and the bytes of each. */
const KNOWN_INTERVAL = 256
const KNOWN_ARRAYS = 32
const KNOWN_BYTES = 8016
/** Profiles of the self-test. They also show where V8 counts its samples (src/probe/v8/sample_counter.rs). */
const ROUNDS = 3
/** Self-tests, at most. Each takes some milliseconds. */
const ATTEMPTS = 4

/** Whether V8's own function starts the sampler correctly. Null until it has been tried. */
let trusted = null

function knownArrays() {
  const arrays = []
  while (arrays.length < KNOWN_ARRAYS) arrays.push(new Array(1000).fill(0))
  return arrays
}

/** Bytes that a profile attributes to a function of this file. */
function bytesAt(head, name) {
  let bytes = 0
  const work = [head]
  for (let node = work.pop(); node !== undefined; node = work.pop()) {
    const { functionName, url } = node.callFrame
    if (functionName === name && url.endsWith(__filename)) bytes += node.selfSize
    work.push(...node.children)
  }
  return bytes
}

/** The number of the newest sample. V8 numbers samples in order of time. */
function greatest(samples) {
  return samples.reduce((most, { ordinal }) => Math.max(most, ordinal), 0)
}

class Profiler {
  /** @throws if there is no inspector, or if other code uses the profiler. */
  constructor() {
    // Required here because Node can be built without the inspector, or run without the permission for it.
    const { Session } = require('node:inspector')
    this.session = new Session()
    this.session.connect()
    this.sampling = false
    if (this.ask('HeapProfiler.getSamplingProfile').profile === undefined) return
    this.session.disconnect()
    throw new Error('another sampling heap profiler is active')
  }

  /**
   * Samples the live heap, or all allocations (`all`), every `interval` bytes on average.
   *
   * Where V8's own function can be used, reading a profile forces no collection. A profile of the live heap must then
   * be read after one.
   */
  sample(interval, { all = false } = {}) {
    this.stop()
    this.sampling =
      (this.trusts() ? native.profilingStart(interval, all, all ? 'callers' : 'live') : null) ??
      this.sampleByInspector(interval, all)
    if (!this.sampling) throw new Error('another sampling heap profiler is active')
  }

  /**
   * Whether V8's own function starts the sampler correctly. A collection in between makes the self-test fail, or hides
   * samples from it, so it is repeated until the counter of samples is found too.
   */
  trusts() {
    if (trusted !== null) return trusted
    for (let attempt = 0, counted = false; attempt < ATTEMPTS && !counted; attempt++) {
      const { shows, counts } = this.finds()
      trusted = trusted === true || shows
      counted = trusted && counts
    }
    return trusted
  }

  /**
   * The self-test. `shows`: a profile has the arrays at the function that allocates them, with their size, and reading
   * it did not collect. `counts`: it is known where V8 counts its samples.
   */
  finds() {
    const failed = { shows: false, counts: false }
    const majors = native.majorCollections()
    if (native.profilingStart(KNOWN_INTERVAL, false, 'trial') !== true) return failed
    this.sampling = true
    const held = []
    let profile
    let counts = false
    for (let round = 0; round < ROUNDS; round++) {
      held.push(...knownArrays())
      native.profilingTrial(null)
      profile = this.ask('HeapProfiler.getSamplingProfile').profile
      // A collection by V8 itself, or one that reading the profile has forced.
      if (profile === undefined || native.majorCollections() !== majors) break
      counts = native.profilingTrial(greatest(profile.samples))
    }
    this.stop()
    if (profile === undefined || native.majorCollections() !== majors) return failed
    const share = bytesAt(profile.head, knownArrays.name) / (held.length * KNOWN_BYTES)
    return { shows: share > 0.5 && share < 2, counts }
  }

  sampleByInspector(samplingInterval, all) {
    const dead = { includeObjectsCollectedByMajorGC: all, includeObjectsCollectedByMinorGC: all }
    const { error } = this.ask('HeapProfiler.startSampling', { samplingInterval, ...dead })
    if (error) throw new Error(error.message)
    return true
  }

  /** The call tree in the form of `flatten`. @throws if other code has stopped the profiler. */
  take() {
    const { profile, error } = this.ask('HeapProfiler.getSamplingProfile')
    if (profile === undefined) {
      this.sampling = false
      throw new Error(`other code stopped the sampling heap profiler (${error?.message})`)
    }
    return flatten(profile)
  }

  stop() {
    if (!this.sampling) return
    this.sampling = false
    this.ask('HeapProfiler.stopSampling')
  }

  close() {
    this.stop()
    this.session.disconnect()
  }

  /** A session within the process calls back before `post` returns. */
  ask(method, params) {
    let answer = {}
    this.session.post(method, params, (error, result) => {
      answer = { error, ...result }
    })
    return answer
  }
}

/**
 * The call tree as arrays, with each node after its parent. `of` is an index into `names`, or -1. `samples` has the
 * number, the node and the bytes of each sample.
 *
 * Only functions of the app get a name. If a path has none, the first function of a module on it gets one.
 */
function flatten({ head, samples = [] }) {
  const tree = { names: [], places: [], shown: [], parents: [], of: [], bytes: [], samples: [] }
  const numbers = new Map()
  const nodes = new Map()
  const work = [{ node: head, parent: 0, within: false }]
  for (let next = work.pop(); next !== undefined; next = work.pop()) {
    const { node, parent } = next
    const { url, functionName, lineNumber, columnNumber } = node.callFrame
    const script = url !== '' && !url.startsWith('node:') && !url.startsWith(OWN_URL) && !url.startsWith(LIB)
    const own = script && moduleOf(url) === null
    const counts = own || (script && !next.within)
    const index = tree.of.length
    nodes.set(node.id, index)
    tree.parents.push(parent)
    tree.bytes.push(node.selfSize)
    tree.of.push(counts ? number(tree, numbers, url, functionName, lineNumber + 1, columnNumber + 1) : -1)
    for (const child of node.children) work.push({ node: child, parent: index, within: next.within || script })
  }
  for (const { ordinal, nodeId, size } of samples) tree.samples.push(ordinal, nodes.get(nodeId) ?? 0, size)
  return tree
}

function number(tree, numbers, url, name, line, column) {
  const key = `${url}:${line}:${column}`
  let found = numbers.get(key)
  if (found === undefined) {
    found = tree.names.length
    numbers.set(key, found)
    tree.names.push(name || '(anonymous)')
    tree.places.push(placeOf(url, line))
    tree.shown.push(sourceOf(url, line, column).replace(/:\d+$/, ''))
  }
  return found
}

module.exports = { Profiler }
