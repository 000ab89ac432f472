'use strict'

/*
 * V8's sampling heap profiler, read by way of the inspector: of each sample that still lives, where it was allocated.
 *
 * There is one such profiler in a process. A second one that starts changes nothing and says nothing, and one that stops it stops it for
 * all: so it is left alone where somebody has it.
 */

const { pathToFileURL } = require('node:url')
const { native } = require('../core/addon.js')
const { moduleOf, placeOf, sourceOf } = require('../core/call-site.js')
const { LIB } = require('../core/folders.js')

const OWN_URL = pathToFileURL(LIB).href

/** Of the trial: bytes between samples, and arrays of about this size. */
const KNOWN_INTERVAL = 256
const KNOWN_ARRAYS = 32
const KNOWN_BYTES = 8016

/** Whether V8's own function starts the sampler as it should; null until it has been tried. */
let trusted = null

function knownArrays() {
  const arrays = []
  while (arrays.length < KNOWN_ARRAYS) arrays.push(new Array(1000).fill(0))
  return arrays
}

/** What a profile has at a function of this file. */
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

class Profiler {
  /** @throws where there is no inspector, or somebody has the profiler. */
  constructor() {
    // Here, since a Node may be built without one, or run without the permission.
    const { Session } = require('node:inspector')
    this.session = new Session()
    this.session.connect()
    this.sampling = false
    if (this.ask('HeapProfiler.getSamplingProfile').profile === undefined) return
    this.session.disconnect()
    throw new Error('another sampling heap profiler is active')
  }

  /**
   * Samples what lives, or all that is allocated (`all`), every `interval` bytes on average. A profile then forces no collection where V8 can be asked for
   * that: of what lives, read it behind one.
   */
  sample(interval, { all = false } = {}) {
    this.stop()
    this.sampling =
      (this.trusts() ? native.profilingStart(interval, all) : null) ?? this.sampleByInspector(interval, all)
    if (!this.sampling) throw new Error('another sampling heap profiler is active')
  }

  /** Whether V8's own function starts the sampler as it should. A collection may have come between, so a trial that fails is repeated once. */
  trusts() {
    trusted ??= this.finds() || this.finds()
    return trusted === true
  }

  /** Whether a profile holds arrays at the function that makes them, at their size, and is read without a collection; null where it cannot be tried. */
  finds() {
    const majors = native.majorCollections()
    if (native.profilingStart(KNOWN_INTERVAL, false) !== true) return null
    this.sampling = true
    const held = knownArrays()
    const { profile } = this.ask('HeapProfiler.getSamplingProfile')
    this.stop()
    // A collection of V8's own, or the one that the profile is to do without.
    if (profile === undefined || native.majorCollections() !== majors) return false
    const share = bytesAt(profile.head, knownArrays.name) / (held.length * KNOWN_BYTES)
    return share > 0.5 && share < 2
  }

  sampleByInspector(samplingInterval, all) {
    const dead = { includeObjectsCollectedByMajorGC: all, includeObjectsCollectedByMinorGC: all }
    const { error } = this.ask('HeapProfiler.startSampling', { samplingInterval, ...dead })
    if (error) throw new Error(error.message)
    return true
  }

  /** The tree of calls, as `flatten` has it. @throws if somebody else has stopped it. */
  take() {
    const { profile, error } = this.ask('HeapProfiler.getSamplingProfile')
    if (profile === undefined) {
      this.sampling = false
      throw new Error(`other code stopped the sampling heap profiler (${error?.message})`)
    }
    return flatten(profile.head)
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

  /** A session within the process answers before `post` returns. */
  ask(method, params) {
    let answer = {}
    this.session.post(method, params, (error, result) => {
      answer = { error, ...result }
    })
    return answer
  }
}

/**
 * The tree with each node behind its parent, and only functions of the app's; where a path has none, the module's that was called
 * first: `of` is a place in `names`, -1 for the rest.
 */
function flatten(head) {
  const tree = { names: [], places: [], shown: [], parents: [], of: [], bytes: [] }
  const numbers = new Map()
  const work = [{ node: head, parent: 0, within: false }]
  for (let next = work.pop(); next !== undefined; next = work.pop()) {
    const { node, parent } = next
    const { url, functionName, lineNumber, columnNumber } = node.callFrame
    const script = url !== '' && !url.startsWith('node:') && !url.startsWith(OWN_URL) && !url.startsWith(LIB)
    const own = script && moduleOf(url) === null
    const counts = own || (script && !next.within)
    const index = tree.of.length
    tree.parents.push(parent)
    tree.bytes.push(node.selfSize)
    tree.of.push(counts ? number(tree, numbers, url, functionName, lineNumber + 1, columnNumber + 1) : -1)
    for (const child of node.children) work.push({ node: child, parent: index, within: next.within || script })
  }
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
