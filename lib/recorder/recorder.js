'use strict'

/*
 * The recorder of a thread: it starts the recording, ticks, and writes the last events at the exit. It begins with the
 * first middleware that needs it, and never keeps the process alive.
 */

const cluster = require('node:cluster')
const { METHODS } = require('node:http')
const { PerformanceObserver, constants, performance } = require('node:perf_hooks')
const v8 = require('node:v8')
const { isMainThread, threadId } = require('node:worker_threads')
const path = require('node:path')
const { announceMissingBinary, native, reason } = require('../core/addon.js')
const describe = require('../core/describe.js')
const channels = require('../core/diagnostics.js')
const internalErrors = require('../core/internal-errors.js')
const { LIB } = require('../core/folders.js')
const { warn } = require('../core/logger.js')
const { outside } = require('../core/outside-requests.js')
const spans = require('../request/async-spans.js')
const lifetime = require('../request/lifecycle.js')
const blockedStack = require('./blocked-stack.js')
const clients = require('./clients.js')
const findings = require('./findings.js')
const heapOptions = require('./heap-limit.js')
const probe = require('./heap-probe.js')
const deaths = require('./last-death.js')
const { defaults } = require('./options.js')
const { identity } = require('./process-identity.js')

const { heapFigures } = probe
const TICK_MS = 250
/** Time until `shed()` checks a late event loop again. */
const SOON_MS = 50
/** Signals of ordinary stops. */
const STOPS = new Set(['SIGTERM', 'SIGINT', 'SIGHUP'])
/** Set in processes that run to be measured, as `soak` does: their record belongs to no service. */
const UNRECORDED = Symbol.for('plimsoll.unrecorded')
/**
 * `new Array(1000)` on every V8 that the probe supports: 1,000 pointers and the array's header, less the garbage of the
 * reading itself.
 */
const KNOWN_ARRAY_BYTES = 8048

/** Listeners of each tick. */
const ticking = []
const state = {
  /** Null until started, and without a binary. */
  started: null,
  settings: null,
  exact: false,
  reason,
  /** Whether the process has listened or had a request. Only a server reports the last death. */
  serves: false
}

// A watcher may be on long before the first middleware is created. Its findings must not be lost.
if (native !== null) {
  findings.connect({
    record(finding, times) {
      start()
      return native.finding(finding, times)
    },
    withdraw(finding) {
      return JSON.parse(native.withdrawFinding(finding) ?? 'null')
    }
  })
}

/**
 * Starts recording in this thread. Returns false without a binary. A second start with other settings warns, and the
 * first settings stay.
 */
function start(settings = defaults()) {
  announceMissingBinary(settings.log)
  if (native === null) return false
  if (state.started !== null) {
    if (settings.explicit && JSON.stringify(comparable(settings)) !== JSON.stringify(comparable(state.settings))) {
      warn(
        settings.log,
        'plimsoll: already started in this thread with other recorder options. The first options stay in effect',
        'PLIMSOLL_OPTIONS'
      )
    }
    return true
  }
  try {
    begin(settings)
  } catch (error) {
    internalErrors.report('at the start', error)
    state.started = {}
  }
  return true
}

function comparable({
  name,
  urls,
  recorder,
  stats,
  async,
  layers,
  nearLimit,
  leaks,
  largeResponseOver,
  snapshotSignal
}) {
  return { name, urls, recorder, stats, async, layers, nearLimit, leaks, largeResponseOver, snapshotSignal }
}

function begin(settings) {
  state.settings = settings
  const ignored = probe.warning()
  if (ignored !== null) warn(settings.log, `plimsoll: ${ignored}`, 'PLIMSOLL_OPTIONS')
  if (settings.log) internalErrors.logTo(settings.log)
  state.started = native.start({
    name: settings.name,
    dir: settings.recorder.dir,
    inMemory: settings.recorder.inMemory === true || isMeasured(),
    script: identity().script,
    entry: identity().entry,
    ownFolder: LIB + path.sep,
    // A cluster's worker, or another forked process. Its replacement belongs to the same run.
    led: isMainThread && (cluster.isWorker || process.channel !== undefined),
    nodeVersion: process.version,
    platform: `${process.platform}-${process.arch}`,
    thread: isMainThread ? 0 : threadId,
    methods: METHODS,
    fullUrls: settings.urls === 'full',
    probe: probe.examine(),
    heap: heapFigures(),
    heapOptions: heapOptions.forNative(settings.nearLimit),
    stats: settings.stats,
    trend: settings.leaks.trend,
    snapshots: takesSnapshots(settings.leaks.snapshots)
  })
  state.exact = state.started.exact && selfTestProbe()
  state.reason = state.exact ? null : (state.reason ?? state.started.reason ?? null)
  if (state.started.warning) warn(settings.log, `plimsoll: ${state.started.warning}`, 'PLIMSOLL_RECORDER')
  if (state.exact) blockedStack.examine()
  else watchCollections()
  // Without the exact probe there is nothing to charge: the figures are those of the last tick.
  spans.start(state.exact && settings.async)
  lifetime.trackServers()
  clients.start()
  outside(keepTime)
  recordExit()
  // Most servers call `listen` in the first tick.
  setImmediate(internalErrors.guarded('when the process was examined', reportDeath)).unref()
}

/** By default, snapshots of a leak are taken where that is possible. If the app has asked for them, the finding says why not. */
function takesSnapshots(snapshots) {
  return snapshots !== null && (snapshots.asked || (isMainThread && native.snapshotUnsupported() === null))
}

/** Once it listens, the process is a server, and reports how the last one ended. */
function reportDeath() {
  if (state.serves || !serves()) return
  state.serves = true
  const found = native.serve()
  if (found && isMainThread) deaths.report(JSON.parse(found), state.settings)
}

function serves() {
  // A worker of a cluster has no listening handle of its own.
  return cluster.isWorker || native.hasRequests() || process.getActiveResourcesInfo().includes('TCPServerWrap')
}

/** The newest death that no server has reported before. In a process that is no server it remains unreported. */
function lastDeath() {
  if (!start()) return null
  reportDeath()
  const found = native.lastDeath()
  return found ? JSON.parse(found) : null
}

/** Whether the probe measures a known allocation with its size. */
function selfTestProbe() {
  const seen = []
  for (let i = 0; i < 5; i++) {
    const before = native.allocated()
    const array = new Array(1000)
    const after = native.allocated()
    seen.push(after - before - array.length + 1000)
  }
  // A single reading may be off by a page because of a concurrent collection. The median of five is not.
  const median = seen.sort((a, b) => a - b)[2]
  if (Math.abs(median - KNOWN_ARRAY_BYTES) <= 512) return true
  state.reason = `an array of ${KNOWN_ARRAY_BYTES} bytes was measured as ${median} bytes`
  native.disableExactProbe(state.reason, heapFigures())
  return false
}

/** Replaces V8's own callbacks for `shed()`. It is a little late, so the figure includes what was allocated since. */
function watchCollections() {
  const observer = new PerformanceObserver(
    internalErrors.guarded('when collections were counted', list => {
      const major = list.getEntries().some(entry => entry.detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR)
      native.collected(major, v8.getHeapStatistics().used_heap_size)
    })
  )
  observer.observe({ entryTypes: ['gc'] })
}

function keepTime() {
  let last = performance.now()
  let utilization = performance.eventLoopUtilization()
  const ticked = internalErrors.guarded('at a tick', tick)
  const timer = setInterval(() => {
    const now = performance.now()
    const current = performance.eventLoopUtilization()
    ticked(now - last - TICK_MS, performance.eventLoopUtilization(current, utilization).utilization)
    last = now
    utilization = current
  }, TICK_MS)
  timer.unref()
}

function tick(lagMs, utilization) {
  if (!state.exact) native.supply(heapFigures())
  const trouble = native.tick(lagMs, utilization)
  lookAgain()
  for (const ticked of ticking) ticked(state.settings)
  announce()
  reportDeath()
  if (trouble) warn(state.settings.log, `plimsoll: ${trouble}`, 'PLIMSOLL_FILE')
  spans.tick()
}

/** From now on `ticked(settings)` is called at each tick of the recorder, after its own figures are recorded. */
function onTick(ticked) {
  ticking.push(ticked)
}

let looking = false
const late = internalErrors.guarded('when the event loop was checked', lagMs => {
  native.late(lagMs)
  lookAgain()
})

/** For `shed()`, while the event loop is late: measures the delay again soon. */
function lookAgain() {
  if (looking || !native.looksAgain()) return
  looking = true
  const asked = performance.now()
  const timer = setTimeout(() => {
    looking = false
    late(performance.now() - asked - SOON_MS)
  }, SOON_MS)
  timer.unref()
}

/** Publishes to the app what has happened while no JavaScript could run. */
function announce() {
  try {
    channels.announce(native, onMessage)
  } catch (error) {
    internalErrors.report('when an event was published', error)
  }
}

/** A leak was found, a finding was withdrawn, or there is a line for the app's logger. */
function onMessage(channel, message) {
  if (channel === 'log') state.settings.log?.info(`plimsoll: ${message.text}`)
  if (channel !== 'finding') return
  findings.notify(message)
  if (message.kind !== 'leak') return
  const { log } = state.settings
  const text = `plimsoll: ${message.kind}: ${message.advice}`
  if (message.withdrawnAt === null) warn(log, text, 'PLIMSOLL_LEAK')
  else if (log) log.info(text)
}

function recordExit() {
  let uncaught = null
  process.on(
    'uncaughtExceptionMonitor',
    internalErrors.guarded('at an uncaught exception', (error, origin) => {
      // The message may contain a user's data. Name, code and call site are enough to find the error.
      const frame = describe.frame(error)
      uncaught = `${origin}: ${describe.kind(error)}${frame && ` at ${frame}`}`
      native.event('uncaught-exception', null, uncaught)
    })
  )
  if (isMainThread) {
    // libuv has restored the default action by now.
    process.on(
      'removeListener',
      internalErrors.guarded('when a signal lost its handler', name => {
        if (STOPS.has(name)) native.recordStops()
      })
    )
  }
  process.on(
    'exit',
    internalErrors.guarded('at the exit', code => {
      if (!state.serves && serves()) native.served()
      const crashed = uncaught !== null && code !== 0
      const kind = crashed ? 'uncaught-exception' : isMainThread ? 'exit' : 'worker-end'
      native.finish(kind, code ?? 0, crashed ? uncaught : '')
    })
  )
}

/** Whether `soak` has started this process. It runs the profiler itself. */
function isMeasured() {
  return globalThis[UNRECORDED] === true
}

module.exports = { state, start, onTick, isMeasured, lastDeath, announce, heapFigures }
