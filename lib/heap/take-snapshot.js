'use strict'

/*
 * Takes heap snapshots. By default a child does it that is forked at a quiet moment, so that only the fork blocks the
 * server (src/snapshot). On request V8 does it in this process, which blocks the server for the whole time: tens of
 * seconds for some hundred megabytes.
 */

const fs = require('node:fs')
const path = require('node:path')
const { setTimeout: sleep, setImmediate: immediate } = require('node:timers/promises')
const v8 = require('node:v8')
const { isMainThread } = require('node:worker_threads')
const { native, reason } = require('../core/addon.js')
const { warn } = require('../core/logger.js')
const options = require('../core/options.js')
const { workingDirectory } = require('../core/working-directory.js')
const runtime = require('../recorder/recorder.js')

const MODES = ['fork', 'stop']
const EXTENSION = '.heapsnapshot'
const PACKED = '.zst'
/**
 * A fork during a major collection, or during the sweeping after it, may fail. So it waits for a quiet second, up to a
 * limit.
 */
const QUIET_MS = 1000
const PATIENCE_MS = 10_000
/** The limit if no caller waits. */
const OWN_PATIENCE_MS = 60_000
const CHECK_MS = 20
const ATTEMPTS = 4

/** Resolves when the present snapshot is over. Null if there is none. */
let running = null
let taken = 0

/** Takes a heap snapshot of this thread: `{ path, bytes, pauseMs, tookMs, attempts, mode }`. */
async function snapshot(given = {}) {
  return take(settingsOf(given))
}

/**
 * Takes one in a child without a caller that waits for it. It waits longer for a quiet moment, delays no `snapshot()`
 * call until then, and never keeps the process alive.
 */
async function quietly(given) {
  const settings = { ...settingsOf(given), held: false }
  do {
    await running
    await quietMoment(false, OWN_PATIENCE_MS)
  } while (running !== null)
  return take(settings)
}

function isRunning() {
  return running !== null
}

async function take(settings) {
  if (running !== null) throw failure('another snapshot is in progress. Only one can be taken at a time')
  let over
  running = new Promise(resolve => {
    over = resolve
  })
  const began = performance.now()
  try {
    const made = await (settings.mode === 'fork' ? byChild(settings) : here(settings))
    const result = { path: settings.path, ...made, tookMs: performance.now() - began, mode: settings.mode }
    note(
      `${result.bytes} bytes at ${result.path}, ${result.mode}; blocked for ${result.pauseMs.toFixed(0)} ms, took ${Math.round(result.tookMs)} ms`
    )
    return result
  } catch (error) {
    note(`failed: ${error.message}`)
    throw error
  } finally {
    running = null
    over()
  }
}

function settingsOf(given) {
  const { path: wanted, mode = 'fork', compress } = options.object('snapshot()', given, ['path', 'mode', 'compress'])
  options.oneOf("snapshot()'s mode", mode, MODES)
  if (compress !== undefined) options.oneOf("snapshot()'s compress", compress, ['zstd'])
  const compressed = compress === 'zstd'
  return { path: targetOf(wanted, compressed), mode, compressed, held: true }
}

/** The file's path: the given one, or one in the given folder, with a name in V8's form. */
function targetOf(wanted, compressed) {
  if (wanted !== undefined) options.string("snapshot()'s path", wanted, 4096)
  if (!path.isAbsolute(wanted ?? '.') && workingDirectory() === null)
    throw failure('the working directory was deleted', 'Give an absolute path')
  const target = path.resolve(wanted ?? '.')
  if (!fs.statSync(target, { throwIfNoEntry: false })?.isDirectory()) return target
  taken += 1
  const at = new Date().toISOString().replace(/[-:]/g, '').replace('T', '.').slice(0, 15)
  return path.join(target, `Heap.${at}.${process.pid}.${taken}${EXTENSION}${compressed ? PACKED : ''}`)
}

async function byChild({ path: target, compressed, held }) {
  if (native === null) throw failure(`mode: 'fork' needs the addon: ${reason}`, STOP)
  const unsupported = native.snapshotUnsupported()
  if (unsupported) throw failure(unsupported, STOP)
  if (!isMainThread) throw failure("mode: 'fork' works on the main thread only", STOP)
  runtime.start()
  const failures = []
  while (failures.length < ATTEMPTS) {
    const attempt = await tryOnce(target, compressed, held)
    if (attempt.bytes !== undefined) return { ...attempt, attempts: failures.length + 1 }
    failures.push(attempt.failure)
    if (!attempt.mayPass) break
  }
  throw failure(
    `no snapshot after ${failures.length} ${failures.length === 1 ? 'attempt' : 'attempts'}: ${failures.join('; ')}`
  )
}

const STOP = "Use mode: 'stop' if the server may be blocked while V8 writes the snapshot"

async function tryOnce(target, compressed, held) {
  try {
    const { used_heap_size: used, external_memory: external } = v8.getHeapStatistics()
    await prepared(target, compressed, used + external, held)
    if (!(await quietMoment(held, PATIENCE_MS))) {
      native.snapshotAbandon()
      return { failure: 'concurrent marking did not pause', mayPass: true }
    }
    const { pauseMs, path: file } = native.snapshotFork()
    if (file) writeAndLeave(file)
    const { bytes, failure: why, mayPass } = await watched(held)
    return bytes === undefined || bytes === null ? { failure: why, mayPass } : { bytes, pauseMs }
  } catch (error) {
    native.snapshotAbandon()
    return { failure: error.message, mayPass: false }
  }
}

async function prepared(target, compressed, heap, held) {
  if (held) return native.snapshotPrepare(target, compressed, heap)
  native.snapshotPrepareQuietly(target, compressed, heap)
  const { failure: why } = await quietEnd()
  if (why) throw new Error(why)
}

async function watched(held) {
  if (held) return native.snapshotWatch()
  native.snapshotWatchQuietly()
  return quietEnd()
}

async function quietEnd() {
  for (;;) {
    const end = native.snapshotQuietEnd()
    if (end) return end
    await sleep(CHECK_MS, undefined, { ref: false })
  }
}

/** Runs in the child, which never returns to the event loop. */
function writeAndLeave(file) {
  try {
    v8.writeHeapSnapshot(file)
    native.snapshotLeave(true)
  } finally {
    native.snapshotLeave(false)
  }
}

/**
 * Waits for a quiet moment. Returns false if there is none, and the fork cannot work either: a child that is forked
 * while V8 marks fails.
 */
async function quietMoment(held, patienceMs) {
  const deadline = performance.now() + patienceMs
  while (native.sinceMajorMs() < QUIET_MS && performance.now() < deadline) {
    await sleep(CHECK_MS, undefined, { ref: held })
  }
  // Continues from an idle tick, without the caller's stack.
  await immediate(undefined, { ref: held })
  return native.sinceMajorMs() > 0
}

async function here({ path: target, compressed }) {
  const partial = path.join(path.dirname(target), `.${path.basename(target)}.${process.pid}.partial`)
  try {
    fs.closeSync(fs.openSync(partial, 'wx', 0o600))
    const began = performance.now()
    v8.writeHeapSnapshot(partial)
    const pauseMs = performance.now() - began
    if (!compressed) {
      const { size: bytes } = fs.statSync(partial)
      fs.renameSync(partial, target)
      return { bytes, pauseMs, attempts: 1 }
    }
    if (native === null) throw failure(`compress needs the addon: ${reason}`)
    return { bytes: await native.snapshotPack(partial, target), pauseMs, attempts: 1 }
  } catch (error) {
    throw error.code === CODE ? error : failure(error.message)
  } finally {
    fs.rmSync(partial, { force: true })
  }
}

const CODE = 'ERR_PLIMSOLL_SNAPSHOT'

function failure(message, advice) {
  const text = advice === undefined ? message : `${message}. ${advice}`
  return Object.assign(new Error(`plimsoll: no heap snapshot: ${text}`), { code: CODE })
}

function note(detail) {
  native?.event('snapshot', undefined, detail)
}

/** Takes a snapshot on each `signal`, for `plimsoll({ snapshotSignal })`. */
function onSignal(signal, log) {
  if (!isMainThread) return
  process.on(signal, () => {
    snapshot().then(
      ({ path: file, bytes, pauseMs }) => {
        const message = `plimsoll: heap snapshot: ${file} (${bytes} bytes; the event loop was blocked for ${Math.round(pauseMs)} ms)`
        if (log) log.info(message)
        else process.stderr.write(`${message}\n`)
      },
      error => warn(log, error.message, 'PLIMSOLL_SNAPSHOT')
    )
  })
}

module.exports = { snapshot, quietly, isRunning, onSignal }
