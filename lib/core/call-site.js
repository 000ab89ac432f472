'use strict'

/*
 * Places in the app's code, as they are shown: `src/users.js:12:5`, as seen from where the process runs, and where Node has source maps
 * on, of the source.
 *
 * A trace is taken where something begins, and read where it turns out to be worth a word: to take one costs 3 to 5 µs (eight frames,
 * Node 20), to read it twice that. One that has not been read holds the functions and receivers of its frames, so it must not outlive
 * its request: read it or drop it.
 */

const { findSourceMap } = require('node:module')
const path = require('node:path')
const { fileURLToPath } = require('node:url')
const { LIB } = require('./folders.js')
const { workingDirectory } = require('./working-directory.js')

/** Of a place the record keeps so much; its end tells more than its beginning. */
const PLACE_LENGTH = 100
/** Behind a module's own frames the app's may be far. */
const FRAMES = 50
/** Enough for a call of the app's through a module or two. */
const NEAR_FRAMES = 12
/** Where Express and connect dispatch requests: a frame of the app's behind that has only passed the request on. */
const DISPATCH = /[\\/](?:router[\\/](?:lib[\\/])?(?:layer|route|index)|connect[\\/]index)\.js$/
const MODULES = `${path.sep}node_modules${path.sep}`

/** A script, by path or `file:` URL, and a line. */
function placeOf(script, line) {
  return bounded(`${shown(script)}:${line}`)
}

function bounded(place, behind = '') {
  const length = PLACE_LENGTH - behind.length
  return (place.length <= length ? place : `\u2026${place.slice(1 - length)}`) + behind
}

function shown(script) {
  const file = script.startsWith('file:') ? fileURLToPath(script) : script
  const from = workingDirectory()
  const relative = path.isAbsolute(file) && from !== null ? path.relative(from, file) : file
  if (!relative.startsWith('..')) return relative
  // Hoisted modules of a monorepo: where they lie is not what tells.
  const module = file.lastIndexOf(MODULES)
  return module === -1 ? file : file.slice(module + 1)
}

/** The stack as it is now, above `above`; `null` where Node has no such thing. */
function take(above, frames = NEAR_FRAMES) {
  const limit = Error.stackTraceLimit
  const trace = {}
  // No assignment: it would throw where the intrinsics are frozen.
  Reflect.set(Error, 'stackTraceLimit', frames)
  Error.captureStackTrace(trace, above)
  Reflect.set(Error, 'stackTraceLimit', limit)
  return trace
}

/**
 * The place that a trace shows: the app's nearest frame, with the module that it called where the trace was taken inside one. Of
 * a module that no code of the app has called, its own place. `null` where there is none.
 */
function read(trace) {
  const { app, module } = nearest(trace)
  return app ?? module
}

/** The two apart; each is `null` where there is none. */
function nearest(trace) {
  let module = null
  for (const site of trace === null ? [] : sitesOf(trace)) {
    const script = site.getFileName()
    if (typeof script !== 'string' || script.startsWith('node:') || script.startsWith(LIB)) continue
    const owner = moduleOf(script)
    if (owner === null) {
      const behind = module === null ? '' : ` (${moduleOf(module.getFileName())})`
      return { app: bounded(siteOf(script, site), behind), module: null }
    }
    if (DISPATCH.test(script)) break
    module ??= site
  }
  return { app: null, module: module === null ? null : bounded(siteOf(module.getFileName(), module)) }
}

function sitesOf(trace) {
  const prepare = Error.prepareStackTrace
  Reflect.set(Error, 'prepareStackTrace', (_error, sites) => sites)
  try {
    const sites = trace.stack
    // One that was read before.
    return Array.isArray(sites) ? sites : []
  } finally {
    Reflect.set(Error, 'prepareStackTrace', prepare)
  }
}

/** The package that a script belongs to; `null` for the app's own. */
function moduleOf(script) {
  const file = script.startsWith('file:') ? fileURLToPath(script) : script
  const at = file.lastIndexOf(MODULES)
  if (at === -1) return null
  const [scope, name] = file.slice(at + MODULES.length).split(path.sep)
  return scope.startsWith('@') ? `${scope}/${name}` : scope
}

function siteOf(script, site) {
  return sourceOf(script, site.getLineNumber(), site.getColumnNumber())
}

/** A line and a column of a script, both counted from 1, and where there are source maps, of its source. */
function sourceOf(script, line, column) {
  const entry = findSourceMap(script)?.findEntry(line - 1, column - 1)
  if (!entry?.originalSource) return `${shown(script)}:${line}:${column}`
  return `${shown(entry.originalSource)}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
}

/** Where the app's own code calls from: not Node's, not plimsoll's. Costs some µs; null if there is none. */
function caller() {
  return read(take(caller, FRAMES))
}

module.exports = { FRAMES, bounded, placeOf, sourceOf, moduleOf, take, read, nearest, caller }
