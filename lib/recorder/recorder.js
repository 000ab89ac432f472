'use strict'

/*
 * What runs beside the requests, once a thread: the recorder, its timer, and the last words at the exit. It begins with the first
 * middleware that needs it, and never holds the process open.
 */

const cluster = require('node:cluster')
const { METHODS } = require('node:http')
const { PerformanceObserver, constants, performance } = require('node:perf_hooks')
const v8 = require('node:v8')
const { isMainThread, threadId } = require('node:worker_threads')
const { announceMissingBinary, native, reason } = require('../core/addon.js')
const describe = require('../core/describe.js')
const channels = require('../core/diagnostics.js')
const internalErrors = require('../core/internal-errors.js')
const { warn } = require('../core/logger.js')
const { outside } = require('../core/outside-requests.js')
const spans = require('../request/async-spans.js')
const lifetime = require('../request/lifecycle.js')
const findings = require('./findings.js')
const heapOptions = require('./heap-limit.js')
const probe = require('./heap-probe.js')
const deaths = require('./last-death.js')
const { defaults } = require('./options.js')
const { identity } = require('./process-identity.js')

const { heapFigures } = probe
const TICK_MS = 250
/** To the next look of `shed()` at an event loop that is late. */
const SOON_MS = 50
/** Ordinary stops. */
const STOPS = new Set(['SIGTERM', 'SIGINT', 'SIGHUP'])
/** Set where a process is run to be measured, as `soak` does: its record is nobody's. */
const UNRECORDED = Symbol.for('plimsoll.unrecorded')
/** `new Array(1000)` on every V8 that the probe knows: 1,000 pointers and the array's own header, less the reading's own garbage. */
const KNOWN_ARRAY_BYTES = 8048

/** Of those who work at each tick. */
const ticking = []
const state = {
  /** Null until started, and where there is no binary. */
  started: null,
  settings: null,
  exact: false,
  reason,
  /** Whether the process has listened, or had a request: the last death is a server's to report. */
  serves: false
}

// A watcher may be on long before the first middleware is made; what it has found must not be lost.
if (native !== null) {
  findings.connect((finding, times) => {
    start()
    return native.finding(finding, times)
  })
}

/** Starts recording in this thread; false without a binary. A second start with other settings warns, the first wins. */
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
    // A cluster's worker, or who else was forked: replaced, it is the same run.
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
    snapshots: settings.leaks.snapshots !== null
  })
  state.exact = state.started.exact && selfTestProbe()
  state.reason = state.exact ? null : (state.reason ?? state.started.reason ?? null)
  if (state.started.warning) warn(settings.log, `plimsoll: ${state.started.warning}`, 'PLIMSOLL_RECORDER')
  if (!state.exact) watchCollections()
  // Without the exact probe there is nothing to charge: the figures are those of the last tick.
  spans.start(state.exact && settings.async)
  lifetime.trackServers()
  outside(keepTime)
  recordExit()
  // Most listen in the same turn.
  setImmediate(internalErrors.guarded('when the process was examined', look)).unref()
}

/** From when it serves, the process is a server: then it reports how the last one ended. */
function look() {
  if (state.serves || !serves()) return
  state.serves = true
  const found = native.serve()
  if (found && isMainThread) deaths.tell(JSON.parse(found), state.settings)
}

function serves() {
  // A worker of a cluster has no listening handle of its own.
  return cluster.isWorker || native.hasRequests() || process.getActiveResourcesInfo().includes('TCPServerWrap')
}

/** The newest death that no server has reported before; of a process that is none it stays to be reported. */
function lastDeath() {
  if (!start()) return null
  look()
  const found = native.lastDeath()
  return found ? JSON.parse(found) : null
}

/** Whether the probe sees a known allocation as its size. */
function selfTestProbe() {
  const seen = []
  for (let i = 0; i < 5; i++) {
    const before = native.allocated()
    const array = new Array(1000)
    const after = native.allocated()
    seen.push(after - before - array.length + 1000)
  }
  // A single reading may be off by a page (a collection beside it); the median of five is not.
  const median = seen.sort((a, b) => a - b)[2]
  if (Math.abs(median - KNOWN_ARRAY_BYTES) <= 512) return true
  state.reason = `an array of ${KNOWN_ARRAY_BYTES} bytes was measured as ${median} bytes`
  native.disableExactProbe(state.reason, heapFigures())
  return false
}

/** In the place of V8's own callbacks, for `shed()`: a little late, and what was allocated since is in the figure. */
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
  look()
  if (trouble) warn(state.settings.log, `plimsoll: ${trouble}`, 'PLIMSOLL_FILE')
  spans.tick()
}

/** From here on `ticked(settings)` is called at each tick of the recorder, once that has noted its own figures. */
function onTick(ticked) {
  ticking.push(ticked)
}

let looking = false
const late = internalErrors.guarded('when the event loop was checked', lagMs => {
  native.late(lagMs)
  lookAgain()
})

/** For `shed()`, while the event loop is late: how late it is soon. */
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

/** Tells the app what has happened where no JavaScript could run. */
function announce() {
  try {
    channels.announce(native, heard)
  } catch (error) {
    internalErrors.report('when an event was published', error)
  }
}

/** A leak was found, or has stopped. */
function heard(channel, message) {
  if (channel !== 'finding') return
  findings.tell(message)
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
      // The message may hold what belongs to a user: name, code and place are enough to find it.
      const frame = describe.frame(error)
      uncaught = `${origin}: ${describe.kind(error)}${frame && ` at ${frame}`}`
      native.event('uncaught-exception', null, uncaught)
    })
  )
  if (isMainThread) {
    // libuv has put the default back by now.
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

/** Whether `soak` has started this process, which profiles it itself. */
function isMeasured() {
  return globalThis[UNRECORDED] === true
}

module.exports = { state, start, onTick, isMeasured, lastDeath, announce, heapFigures }
