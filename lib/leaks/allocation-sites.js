'use strict'

/*
 * Profiling sessions: profiles of the live heap, taken when the native side asks for one (src/leak/sites/schedule.rs). Nothing of a
 * profile is retained here.
 */

const { native } = require('../core/addon.js')
const describe = require('../core/describe.js')
const { definitionOf, unwrapped } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const routes = require('../express/route-tracker.js')
const { Profiler } = require('./heap-profiler.js')

/** Bytes between samples, on average. At half a megabyte a slow leak has too few, at 32 KiB allocating gets 3 to 9 % slower. */
const SAMPLING_INTERVAL = 64 * 1024
/** For a short while, of all allocations: of who calls whom there must be some. */
const CALLERS_INTERVAL = 16 * 1024
/** Layers on the way of one request, and routes of one function, that are told: as many as the native side keeps. */
const PASSED = 64
const TITLES = 16
/** Characters of a handler's source that are looked at. */
const SOURCE = 64 * 1024
/** A profile is due behind a collection: soon enough that little garbage has come since. */
const LOOK_MS = 20

const sourceOf = Function.prototype.call.bind(Function.prototype.toString)
const state = { profiler: null, unlook: null, timer: null }
/** Functions that requests pass, and the labels of the routes which these went to, in this campaign: what is told already. */
let known = new WeakMap()
/** Functions that a request has passed on its way to its route, while it is not there. */
let passed = new WeakMap()

/** To be called when the event loop comes round. */
function turn() {
  try {
    const step = native.profilingStep()
    if (step === 'start') start()
    else if (step === 'callers') callers()
    else if (step === 'profile') timed(() => profile(false))
    else if (step === 'stop') drop()
  } catch (error) {
    internalErrors.report('when allocation sites were searched', error)
    drop()
    native.profilingFailed(describe.message(error))
  }
}

function start() {
  try {
    state.profiler = new Profiler()
  } catch (error) {
    return native.profilingFailed(describe.message(error))
  }
  state.unlook = routes.lookWith(pass)
  state.profiler.sample(CALLERS_INTERVAL, { all: true })
}

function callers() {
  if (!profile(true)) return
  state.profiler.sample(SAMPLING_INTERVAL)
  state.timer = setInterval(internalErrors.guarded('when a profile was checked', turn), LOOK_MS)
  state.timer.unref()
}

/** The next one comes the later, the longer this one takes. */
function timed(work) {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  native.profilingTook((user + system) / 1000)
}

function profile(ofCallers) {
  let tree
  try {
    tree = state.profiler.take()
  } catch (error) {
    native.profilingFailed(describe.message(error))
    drop()
    return false
  }
  native.profilingProfile(
    tree.names,
    tree.places,
    tree.shown,
    Uint32Array.from(tree.parents),
    Int32Array.from(tree.of),
    Float64Array.from(tree.bytes),
    ofCallers
  )
  return true
}

function drop() {
  known = new WeakMap()
  passed = new WeakMap()
  const { profiler, unlook, timer } = state
  Object.assign(state, { profiler: null, unlook: null, timer: null })
  clearInterval(timer)
  unlook?.()
  profiler?.close()
}

/** A request is about to pass a layer. */
function pass(requestState, { handle }) {
  const before = passed.get(requestState)
  if (before === undefined) passed.set(requestState, [handle])
  else if (before.length < PASSED) before.push(handle)
}

/** A request has found its route: whose functions handle it, and which did on its way. */
function routed(requestState, label) {
  if (state.profiler === null) return
  try {
    for (const handle of passed.get(requestState) ?? []) handles(handle, requestState, label)
    passed.delete(requestState)
    for (const { handle } of requestState.req.route?.stack ?? []) handles(handle, requestState, label)
  } catch (error) {
    internalErrors.report('when the handlers of a route were read', error)
  }
}

function handles(handle, { method }, label) {
  const told = known.get(handle) ?? { place: definitionOf(unwrapped(handle)), titles: new Set() }
  known.set(handle, told)
  const title = `${method} ${label}`
  if (told.place === '' || told.titles.has(title) || told.titles.size >= TITLES) return
  // By the names that it calls a handler is known as the caller of what goes on behind an await, where it is on no stack.
  const source = told.titles.size > 0 ? null : sourceOf(unwrapped(handle)).slice(0, SOURCE)
  told.titles.add(title)
  native.profilingHandler(told.place, title, source)
}

module.exports = { turn, routed }
