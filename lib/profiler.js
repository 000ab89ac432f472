'use strict'

/*
 * V8's sampling heap profiler, read by way of the inspector: of each sample that still lives, where it was allocated.
 *
 * There is one such profiler in a process. A second one that starts changes nothing and says nothing, and one that stops it stops it for
 * all: so it is left alone where somebody has it.
 */

const { pathToFileURL } = require('node:url')
const { native } = require('./native.js')
const { moduleOf, placeOf, sourceOf } = require('./origin.js')

const OWN_URL = pathToFileURL(__dirname).href

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
    throw new Error('another sampling heap profiler is on')
  }

  /**
   * Samples what lives, or all that is allocated (`all`), every `interval` bytes on average. A profile then forces no collection where V8 can be asked for
   * that: of what lives, read it behind one.
   */
  sample(interval, { all = false } = {}) {
    this.stop()
    this.sampling = native.siteSample(interval, all) ?? this.sampleByInspector(interval, all)
    if (!this.sampling) throw new Error('another sampling heap profiler is on')
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
      throw new Error(`the sampling heap profiler was stopped by somebody else (${error?.message})`)
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
    const script = url !== '' && !url.startsWith('node:') && !url.startsWith(OWN_URL) && !url.startsWith(__dirname)
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
