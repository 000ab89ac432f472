'use strict'

/*
 * All copies of plimsoll in a process act as one. Jest evaluates a copy for each test file, and an app and its plugins may each have one
 * installed. Each copy would patch the same classes and keep state of its own, so one copy would not know the other's requests.
 *
 * The first copy puts its API on a core module. `vm` contexts and Jest's test files have globals of their own but share core modules, and a
 * worker thread has core modules of its own. A later copy of the same version line uses that API; if it is newer, it warns, since functions that
 * it adds are missing. A copy of another line is passive: it enforces limits as it does without a binary, and patches nothing.
 */

const shared = require('node:diagnostics_channel')
const { name, version } = require('../../package.json')
const { ROOT } = require('./folders.js')
const { warn } = require('./logger.js')

/** The number is the version of the stored object's format: `{ version, folder, api }`. */
const KEY = Symbol.for('plimsoll.copies.1')

const CODE = 'PLIMSOLL_COPIES'

/** The API of the first copy if it is of this version line, otherwise undefined. */
function first() {
  const found = shared[KEY]
  if (found === undefined || !isSameLine(found)) return undefined
  if (isOlder(found.version, version)) warnOfOlder(found)
  return found.api
}

/** Warns once for each folder: a test runner evaluates one copy many times. */
function warnOfOlder(found) {
  found.newer ??= []
  if (found.newer.includes(ROOT)) return
  found.newer.push(ROOT)
  warn(
    null,
    `plimsoll: ${found.version} (${found.folder}) already runs in this process, so the newer ${version} (${ROOT}) uses it. ` +
      `Functions and options that ${found.version} does not have are not available. ` +
      `Install one version for both: \`npm dedupe\` (\`npm ls ${name}\` shows which packages need which version)`,
    CODE
  )
}

/** Publishes this copy's API if it is the first in the process. */
function share(api) {
  if (shared[KEY] !== undefined) return
  Object.defineProperty(shared, KEY, { value: { version, folder: ROOT, api }, configurable: true })
}

/** The reason why this copy must be passive, or null. */
function rival() {
  const found = shared[KEY]
  if (found === undefined || isSameLine(found)) return null
  return (
    `plimsoll ${found.version} (${found.folder}) already runs in this process, and this is plimsoll ${version} ` +
    `(${ROOT}). Install one version for both (\`npm ls ${name}\` shows which packages need which version)`
  )
}

/** Compatible as by npm's caret: before 1.0, a minor version may break its predecessor's API. */
function isSameLine(copy) {
  return lineOf(copy.version) === lineOf(version)
}

function lineOf(version) {
  const [major, minor] = String(version).split('.')
  return major === '0' ? `0.${minor}` : major
}

/** Compares the three numbers. A pre-release is older than its release. */
function isOlder(one, other) {
  const [ours, theirs] = [numbersOf(one), numbersOf(other)]
  const at = ours.findIndex((number, i) => number !== theirs[i])
  return at === -1 ? one.includes('-') && !other.includes('-') : ours[at] < theirs[at]
}

function numbersOf(version) {
  return version.split(/[-+]/, 1)[0].split('.').map(Number)
}

module.exports = { CODE, first, share, rival }
