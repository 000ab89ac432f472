'use strict'

/*
 * The two heap snapshots of a leak. A child process takes each (lib/heap/take-snapshot.js) when the native side
 * requests one (src/leak/suspect/schedule.rs). Another process then compares them. Nothing here keeps the process
 * alive.
 */

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { native } = require('../core/addon.js')
const describe = require('../core/describe.js')
const { ROOT } = require('../core/folders.js')
const internalErrors = require('../core/internal-errors.js')
const snapshots = require('../heap/take-snapshot.js')

/** The program that compares snapshots: `plimsoll heap`. */
const SCRIPT = path.join(ROOT, 'bin', 'plimsoll.js')

const state = {
  busy: false,
  /** A temporary folder with a snapshot in progress. It must be removed before the process exits. */
  folder: null
}

/** Call this on each tick. `settings`: `{ dir, keep }`. */
function tick(settings) {
  try {
    if (state.busy || snapshots.isRunning() || !native.leakSnapshotDue()) return
    state.busy = true
    take(settings)
      .catch(error => native.leakSnapshotFailed(reasonOf(error)))
      .catch(error => internalErrors.report('when a snapshot of a leak failed', error))
      .finally(() => {
        state.busy = false
      })
  } catch (error) {
    internalErrors.report('when the class of a leak was searched', error)
  }
}

async function take({ dir, keep }) {
  const node = nodeBinary()
  const own = dir === undefined ? privateFolder(keep) : undefined
  if (own === undefined) fs.mkdirSync(dir, { recursive: true, mode: 0o700 })
  try {
    // The file is stored until the heap has grown enough. Compressed it has a tenth of its size.
    const { path: file } = await snapshots.quietly({ path: own ?? dir, compress: 'zstd' })
    // Unlinks the file, unless it is to stay.
    native.leakSnapshotTaken(file, { node, script: SCRIPT, keep, folder: own })
  } finally {
    if (own !== undefined && !keep) release()
  }
}

/** Mode 0700: a snapshot contains what the app has in memory. */
function privateFolder(keep) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-'))
  if (!keep) {
    state.folder = folder
    process.on('exit', release)
  }
  return folder
}

function release() {
  process.off('exit', release)
  try {
    fs.rmSync(state.folder, { recursive: true, force: true })
  } catch {
    // The folder remains until the operating system cleans up.
  }
}

/** Some bundlers put the program and Node into one executable, which cannot run another script. */
function nodeBinary() {
  const bundled = process.pkg !== undefined || process.versions.electron !== undefined || isSea()
  if (bundled) throw new Error(`${process.execPath} cannot run another program, so snapshots cannot be compared`)
  if (!fs.existsSync(SCRIPT))
    throw new Error(`${SCRIPT}, which compares snapshots, does not exist: was the app bundled?`)
  return process.execPath
}

function isSea() {
  try {
    return require('node:sea').isSea()
  } catch {
    // This Node has no single executable applications, or no `isSea`.
    return false
  }
}

function reasonOf(error) {
  return describe.message(error).replace(/^plimsoll: /, '')
}

module.exports = { tick }
