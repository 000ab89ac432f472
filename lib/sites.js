'use strict'

/*
 * Allocation sites of what stays: V8's sampling heap profiler, by way of the inspector, in campaigns that the native side decides on
 * (src/trend/campaign.rs). Nothing of a profile is kept here.
 *
 * There is one such profiler in a process. A second one that starts changes nothing and says nothing, and one that stops it stops it for
 * all: so it is left alone where somebody has it.
 */

const { pathToFileURL } = require('node:url')
const faults = require('./faults.js')
const { definitionOf, unwrapped } = require('./layers.js')
const { native } = require('./native.js')
const { moduleOf, placeOf, sourceOf } = require('./origin.js')
const routes = require('./route.js')

/** Bytes between samples, on average. At half a megabyte a slow leak has too few, at 32 KiB allocating gets 3 to 9 % slower. */
const SAMPLING_INTERVAL = 64 * 1024
const OWN_URL = pathToFileURL(__dirname).href
/** For a short while, of all allocations: of who calls whom there must be some. */
const CALLERS_INTERVAL = 16 * 1024
/** Layers on the way of one request, and routes of one function, that are told: as many as the native side keeps. */
const PASSED = 64
const TITLES = 16
const [START, CALLERS, PROFILE, STOP] = [1, 2, 3, 4]

const state = { session: null, unlook: null }
/** Functions that requests pass, and the labels of the routes which these went to, in this campaign: what is told already. */
let known = new WeakMap()
/** Functions that a request has passed on its way to its route, while it is not there. */
let passed = new WeakMap()

/** To be called when the event loop comes round. */
function turn() {
  try {
    const step = native.siteStep()
    if (step === START) start()
    else if (step === CALLERS) callers()
    else if (step === PROFILE) timed(() => profile(false))
    else if (step === STOP) stop()
  } catch (error) {
    native.siteFailed(`${error?.message ?? error}`)
    faults.report('when allocation sites were looked for', error)
    drop()
  }
}

function start() {
  try {
    // Here, since a Node may be built without one, or run without the permission.
    const { Session } = require('node:inspector')
    state.session = new Session()
    state.session.connect()
  } catch (error) {
    native.siteFailed(`there is no inspector (${error.message})`)
    return drop()
  }
  if (ask('HeapProfiler.getSamplingProfile').profile !== undefined) {
    native.siteFailed('another sampling heap profiler is on')
    return drop()
  }
  state.unlook = routes.lookWith(pass)
  const dead = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true }
  sample({ samplingInterval: CALLERS_INTERVAL, ...dead })
}

function sample(options) {
  const { error } = ask('HeapProfiler.startSampling', options)
  if (error) throw new Error(error.message)
}

/** V8 collects all garbage for each profile: in a large heap they must be rarer. */
function timed(work) {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  native.siteTook((user + system) / 1000)
}

function callers() {
  profile(true)
  if (state.session === null) return
  ask('HeapProfiler.stopSampling')
  sample({ samplingInterval: SAMPLING_INTERVAL })
}

function profile(ofCallers) {
  const { profile, error } = ask('HeapProfiler.getSamplingProfile')
  if (profile === undefined) {
    native.siteFailed(`the sampling heap profiler was stopped by somebody else (${error?.message})`)
    return drop()
  }
  const tree = flatten(profile.head)
  native.siteProfile(
    tree.names,
    tree.places,
    tree.shown,
    Uint32Array.from(tree.parents),
    Int32Array.from(tree.of),
    Float64Array.from(tree.bytes),
    ofCallers
  )
}

function stop() {
  ask('HeapProfiler.stopSampling')
  drop()
}

function drop() {
  known = new WeakMap()
  passed = new WeakMap()
  state.unlook?.()
  const { session } = state
  Object.assign(state, { session: null, unlook: null })
  session?.disconnect()
}

/** A session within the process answers before `post` returns. */
function ask(method, params) {
  let answer = {}
  state.session.post(method, params, (error, result) => {
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

/** A request is about to pass a layer. */
function pass(life, { handle }) {
  const before = passed.get(life)
  if (before === undefined) passed.set(life, [handle])
  else if (before.length < PASSED) before.push(handle)
}

/** A request has found its route: whose functions handle it, and which did on its way. */
function routed(life, label) {
  if (state.session === null) return
  try {
    for (const handle of passed.get(life) ?? []) handles(handle, life, label)
    passed.delete(life)
    for (const { handle } of life.req.route?.stack ?? []) handles(handle, life, label)
  } catch (error) {
    faults.report('when the handlers of a route were looked at', error)
  }
}

function handles(handle, { method }, label) {
  const told = known.get(handle) ?? { place: definitionOf(unwrapped(handle)), titles: new Set() }
  known.set(handle, told)
  const title = `${method} ${label}`
  if (told.place === '' || told.titles.has(title) || told.titles.size >= TITLES) return
  told.titles.add(title)
  native.siteHandler(told.place, title)
}

module.exports = { turn, routed }
