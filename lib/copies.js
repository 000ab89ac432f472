'use strict'

/*
 * All copies of plimsoll in a process act as one. Jest evaluates a copy for each test file, and an app and its plugins may each have one
 * installed. Each copy would patch the same classes and keep state of its own, so one copy would not know the other's requests.
 *
 * The first copy puts its API on a core module. `vm` contexts and Jest's test files have globals of their own but share core modules, and a
 * worker thread has core modules of its own. A later copy of the same version line uses that API. A copy of another line is passive: it
 * enforces limits as it does without a binary, and patches nothing.
 *
 * Node's own loader loads the API, even where a test runner puts a loader of its own in front: what that one loads ends with its test
 * file, timers and `require` included.
 */

const shared = require('node:diagnostics_channel')
const { name, version } = require('../package.json')
const { ROOT } = require('./folders.js')

/** The number is the version of what lies there: `{ version, folder, api }`. */
const KEY = Symbol.for('plimsoll.copies.1')

/** The API that this copy's caller gets: the first copy's, or its own. */
function join() {
  const first = shared[KEY]
  if (first !== undefined && isSameLine(first)) return first.api
  const load = nodeRequire()
  return load === null ? require('./api.js') : load('./api.js')
}

/** Makes this copy the process's, if it is the first. */
function share(api) {
  if (shared[KEY] !== undefined) return
  Object.defineProperty(shared, KEY, { value: { version, folder: ROOT, api }, configurable: true })
}

/** Why this copy must be passive; null if it need not be. */
function rival() {
  const first = shared[KEY]
  if (first === undefined || isSameLine(first)) return null
  return (
    `plimsoll ${first.version} (${first.folder}) runs in this process already, and this is plimsoll ${version} ` +
    `(${ROOT}): install one version for both (\`npm ls ${name}\` shows who needs which)`
  )
}

/** As npm's caret has it: before 1.0 a minor version may break what the one before promised. */
function isSameLine(first) {
  return lineOf(first.version) === lineOf(version)
}

function lineOf(version) {
  const [major, minor] = String(version).split('.')
  return major === '0' ? `0.${minor}` : major
}

/** `require` of Node's own loader for this folder; null where this file is not in it (a bundle). */
function nodeRequire() {
  try {
    const load = nodeModule().createRequire(__filename)
    const own = load('../package.json')
    return own.name === name && own.version === version ? load : null
  } catch {
    return null
  }
}

/** Node's own Module class. Jest gives a subclass of it. */
function nodeModule() {
  let found = require('node:process').getBuiltinModule?.('node:module') ?? require('node:module')
  for (;;) {
    const above = Object.getPrototypeOf(found)
    if (typeof above?.createRequire !== 'function') return found
    found = above
  }
}

module.exports = { join, share, rival }
