'use strict'

/*
 * The two heap snapshots of a leak, taken by a child (lib/heap/take-snapshot.js) when the native side asks for one
 * (src/leak/suspect/schedule.rs). Another process then compares them. Nothing here keeps the process alive.
 */

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { native } = require('../core/addon.js')
const describe = require('../core/describe.js')
const { ROOT } = require('../core/folders.js')
const internalErrors = require('../core/internal-errors.js')
const snapshots = require('../heap/take-snapshot.js')

/** What reads snapshots: `plimsoll heap`. */
const SCRIPT = path.join(ROOT, 'bin', 'plimsoll.js')

const state = {
  busy: false,
  /** A folder of our own with a snapshot that is being taken: it is to be gone when the process is. */
  folder: null
}

/** To be called when the event loop comes round. `settings`: `{ dir, keep }`. */
function turn(settings) {
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
    // Compressed it is a tenth, and it lies there until enough has grown.
    const { path: file } = await snapshots.quietly({ path: own ?? dir, compress: 'zstd' })
    // Takes its name from it, unless it is kept.
    native.leakSnapshotTaken(file, { node, script: SCRIPT, keep, folder: own })
  } finally {
    if (own !== undefined && !keep) release()
  }
}

/** For its owner alone. */
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
    // It is the system's to tidy then.
  }
}

/** The program that runs this one, where it runs others too: some are a program and its Node in one. */
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
    // Older than single executable applications, or than this way to ask.
    return false
  }
}

function reasonOf(error) {
  return describe.message(error).replace(/^plimsoll: /, '')
}

module.exports = { turn }
