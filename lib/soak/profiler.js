'use strict'

/*
 * V8's sampling heap profiler, by way of the inspector: of each sample that still lives, where it was allocated.
 */

const { pathToFileURL } = require('node:url')
const { moduleOf, placeOf, sourceOf } = require('../origin.js')

const LIB = require('node:path').dirname(__dirname)
const LIB_URL = pathToFileURL(LIB).href

let session = null

/** `samplingInterval`: bytes between samples, on average. */
function start(samplingInterval) {
  // Here, since a Node may be built without one, or run without the permission.
  const { Session } = require('node:inspector')
  session = new Session()
  session.connect()
  if (ask('HeapProfiler.getSamplingProfile').profile !== undefined) {
    stop()
    throw new Error('another sampling heap profiler is on in the app')
  }
  const { error } = ask('HeapProfiler.startSampling', { samplingInterval })
  if (error) throw new Error(error.message)
}

function take() {
  const { profile, error } = ask('HeapProfiler.getSamplingProfile')
  if (profile === undefined) throw new Error(`the sampling heap profiler was stopped: ${error?.message}`)
  return flatten(profile.head)
}

function stop() {
  if (session === null) return
  ask('HeapProfiler.stopSampling')
  session.disconnect()
  session = null
}

/** A session within the process answers before `post` returns. */
function ask(method, params) {
  let answer = {}
  session.post(method, params, (error, result) => {
    answer = { error, ...result }
  })
  return answer
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
    const script = url !== '' && !url.startsWith('node:') && !url.startsWith(LIB_URL) && !url.startsWith(LIB)
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

module.exports = { start, take, stop }
