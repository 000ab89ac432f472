'use strict'

const { METHODS } = require('node:http')
const { announcedLength, isRefused, tapOf } = require('../body/tap.js')
const { native, passive } = require('../core/addon.js')
const internalErrors = require('../core/internal-errors.js')
const layers = require('../express/layer-spans.js')
const routes = require('../express/route-tracker.js')
const { onSignal } = require('../heap/take-snapshot.js')
const sites = require('../leaks/allocation-sites.js')
const watching = require('../leaks/index.js')
const { watch: watchResponse } = require('../leaks/large-responses.js')
const leakSnapshots = require('../leaks/leak-snapshots.js')
const openFiles = require('../leaks/open-files.js')
const owners = require('../leaks/request-owner.js')
const runtime = require('../recorder/recorder.js')
const spans = require('../request/async-spans.js')
const { begin, settled, stateOf } = require('../request/lifecycle.js')
const settingsOf = require('./options.js')

const METHOD_IDS = new Map(METHODS.map((method, id) => [method, id]))
/** nginx's status for a client that disconnected before any response. */
const CLIENT_CLOSED_REQUEST = 499

runtime.onTick(({ leaks }) => {
  // V8 has one heap profiler, and `soak` needs it.
  if (runtime.isMeasured()) return
  if (leaks.sites) sites.tick()
  if (leaks.trend) openFiles.tick()
  if (leaks.snapshots !== null) leakSnapshots.tick(leaks.snapshots)
})

/** Middleware that tracks every request: what it allocates, how long it takes, how it ends. Use it first. */
function plimsoll(given) {
  const settings = settingsOf(given)
  const recording = runtime.start(settings)
  if (settings.watched !== null && !passive) watching.start(settings.watched)
  if (!recording) {
    return function plimsollTracker(_req, _res, next) {
      next()
    }
  }
  // Only if these options are the ones in effect for the thread.
  if (settings.snapshotSignal !== null && runtime.state.settings === settings)
    onSignal(settings.snapshotSignal, settings.log)
  routes.meterWith(runtime.state.exact && runtime.state.settings.layers ? layers.each : layers.plain)
  return function plimsollTracker(req, res, next) {
    const state = enter(req, res)
    if (state === null) return next()
    state.inside = true
    try {
      if (spans.state.open) spans.within(state.slot, next)
      else next()
    } finally {
      state.inside = false
      leave(state)
    }
  }
}

/**
 * Takes a slot. Returns null if there is none, and for a request that is tracked already (an app in an app) or over.
 */
function enter(req, res) {
  try {
    const state = begin(req, res)
    if (state === null || state.slot !== -1) return null
    if (!runtime.state.exact) native.supply(runtime.heapFigures())
    state.slot = native.enter(
      METHOD_IDS.get(state.method) ?? METHODS.length,
      typeof state.url === 'string' ? state.url : ''
    )
    if (state.slot === 0) return null
    state.atEnd(ended)
    routes.observe(state, routed)
    owners.enter(state)
    if (announcedLength(req, state.headers)) tapOf(req, res, state.slot).attach(state.slot)
    const { largeResponseOver } = runtime.state.settings
    if (largeResponseOver !== null) watchResponse(state, largeResponseOver)
    return state
  } catch (error) {
    internalErrors.report('when a request was tracked', error)
    return null
  }
}

/** The synchronous part of a request is over. */
function leave(state) {
  try {
    if (!runtime.state.exact) native.supply(runtime.heapFigures())
    native.settle(state.slot)
  } catch (error) {
    internalErrors.report('when a request was settled', error)
  }
  settled(state)
}

function labelId(entry) {
  if (entry.id === -1) entry.id = native.label(entry.label)
  return entry.id
}

function routed(state, entry) {
  native.route(state.slot, labelId(entry))
  sites.routed(state, entry.label)
}

function ended(req, res, state) {
  const aborted = !res.writableFinished
  const status = aborted && !res.headersSent ? CLIENT_CLOSED_REQUEST : res.statusCode | 0
  native.end(state.slot, labelId(entryOf(req, state)), status, aborted, state.responseBytes())
}

/** A request that was refused before it was routed is counted under the route that it was meant for. */
function entryOf(req, state) {
  const entry = routes.current(req)
  return entry === routes.UNMATCHED && (state.refused || isRefused(req)) ? routes.predict(req) : entry
}

/** What this request has used so far. Undefined if it is not tracked, or has ended. */
function usage(req) {
  const state = stateOf(req)
  const figures = state !== undefined && state.slot > 0 ? native.usage(state.slot) : null
  return figures === null ? undefined : { ...figures, responseBytes: state.responseBytes() }
}

/** Checks options without a start, for lib/register/. */
plimsoll.settingsOf = settingsOf

module.exports = { plimsoll, usage }
