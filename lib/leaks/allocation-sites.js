'use strict'

/*
 * Profiling sessions: profiles of the live heap, taken when the native side requests one (`src/leak/sites/schedule.rs`).
 * Profiles are passed on and not retained here.
 */

const { native } = require('../core/addon.js')
const describe = require('../core/describe.js')
const { definitionOf, unwrapped } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const routes = require('../express/route-tracker.js')
const { Profiler } = require('./heap-profiler.js')

/**
 * Average bytes between samples. At 512 KiB a slow leak has too few samples. At 32 KiB allocation gets 3 to 9 % slower.
 */
const SAMPLING_INTERVAL = 64 * 1024
/** Sampling of all allocations, for a short time. It shows which functions call which. */
const CALLERS_INTERVAL = 16 * 1024
/** Layers on the path of one request, and routes of one function, that are reported. The native side stores as many. */
const PASSED = 64
const TITLES = 16
/** Characters of a handler's source that are searched for calls. */
const SOURCE = 64 * 1024
/** A profile is due after a collection. At this interval little garbage has been allocated since. */
const CHECK_MS = 20

const sourceOf = Function.prototype.call.bind(Function.prototype.toString)
const state = { profiler: null, unsubscribe: null, timer: null }
/** Handlers already reported in this session, with the labels of their routes. */
let known = new WeakMap()
/** Functions that a request has passed before it reached its route. */
let passed = new WeakMap()

/** Call this on each tick. */
function tick() {
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
  state.unsubscribe = routes.lookWith(pass)
  state.profiler.sample(CALLERS_INTERVAL, { all: true })
}

function callers() {
  if (!profile(true)) return
  state.profiler.sample(SAMPLING_INTERVAL)
  state.timer = setInterval(internalErrors.guarded('when a profile was checked', tick), CHECK_MS)
  state.timer.unref()
}

/** The native side bounds the share of CPU time, so it needs the cost of each profile. */
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
    {
      ...tree,
      parents: Uint32Array.from(tree.parents),
      of: Int32Array.from(tree.of),
      bytes: Float64Array.from(tree.bytes),
      samples: Float64Array.from(ofCallers ? [] : tree.samples)
    },
    ofCallers
  )
  return true
}

function drop() {
  known = new WeakMap()
  passed = new WeakMap()
  const { profiler, unsubscribe, timer } = state
  Object.assign(state, { profiler: null, unsubscribe: null, timer: null })
  clearInterval(timer)
  unsubscribe?.()
  profiler?.close()
}

/** Called before a request passes a layer. */
function pass(requestState, { handle }) {
  const before = passed.get(requestState)
  if (before === undefined) passed.set(requestState, [handle])
  else if (before.length < PASSED) before.push(handle)
}

/** A request has found its route. Reports the functions that handle it, and those that it passed before. */
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
  const handler = known.get(handle) ?? { place: definitionOf(unwrapped(handle)), titles: new Set() }
  known.set(handle, handler)
  const title = `${method} ${label}`
  if (handler.place === '' || handler.titles.has(title) || handler.titles.size >= TITLES) return
  // Code after an `await` runs without the handler on the stack. The names that a handler calls still identify it.
  const source = handler.titles.size > 0 ? null : sourceOf(unwrapped(handle)).slice(0, SOURCE)
  handler.titles.add(title)
  native.profilingHandler(handler.place, title, source)
}

module.exports = { tick, routed }
