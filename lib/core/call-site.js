'use strict'

/*
 * Call sites in the app, as they are shown: `src/users.js:12:5`, relative to the working directory. If Node has source
 * maps enabled, they refer to the source.
 *
 * A trace is taken where something begins, and read if it turns out to be worth reporting. Taking one costs 3 to 5 µs
 * (eight frames, Node 20), reading it twice as much. Until it is read, it retains the functions and receivers of its
 * frames. So it must not outlive its request: read it or drop it.
 */

const { findSourceMap } = require('node:module')
const path = require('node:path')
const { fileURLToPath } = require('node:url')
const { LIB } = require('./folders.js')
const { workingDirectory } = require('./working-directory.js')

/** Characters of a call site in the record. Longer ones lose their beginning, since the end is more specific. */
const PLACE_LENGTH = 100
/** A module may have many frames of its own before the app's. */
const FRAMES = 50
/** Enough for a call by the app through one or two modules. */
const NEAR_FRAMES = 12
/** Where Express and connect dispatch requests. A frame of the app beyond has only passed the request on. */
const DISPATCH = /[\\/](?:router[\\/](?:lib[\\/])?(?:layer|route|index)|connect[\\/]index)\.js$/
const MODULES = `${path.sep}node_modules${path.sep}`

/** Formats a script, given as path or `file:` URL, and a line. */
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
  // In a monorepo, modules may be hoisted: the path within node_modules is enough.
  const module = file.lastIndexOf(MODULES)
  return module === -1 ? file : file.slice(module + 1)
}

/** The present stack, above `above`, which is this function by default. Null if Node provides none. */
function take(above = take, frames = NEAR_FRAMES) {
  const limit = Error.stackTraceLimit
  const trace = {}
  // Reflect.set instead of an assignment, which would throw if the intrinsics are frozen.
  Reflect.set(Error, 'stackTraceLimit', frames)
  Error.captureStackTrace(trace, above)
  Reflect.set(Error, 'stackTraceLimit', limit)
  return trace
}

/**
 * The call site that a trace shows: the app's nearest frame, with the module that it called if the trace was taken
 * inside one. If no code of the app called the module, the module's own frame. Null if there is neither.
 */
function read(trace) {
  const { app, module } = nearest(trace)
  return app ?? module
}

/** Both frames separately. Each is null if there is none. */
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

/** The innermost frame of a trace. Null if there is none. */
function first(trace) {
  return sitesOf(trace)[0] ?? null
}

function sitesOf(trace) {
  const prepare = Error.prepareStackTrace
  Reflect.set(Error, 'prepareStackTrace', (_error, sites) => sites)
  try {
    const sites = trace.stack
    // The trace was read before.
    return Array.isArray(sites) ? sites : []
  } finally {
    Reflect.set(Error, 'prepareStackTrace', prepare)
  }
}

/** The package that a script belongs to. Null for the app's own scripts. */
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

/** Formats a line and a column of a script, both counted from 1. With a source map they refer to the source. */
function sourceOf(script, line, column) {
  const entry = findSourceMap(script)?.findEntry(line - 1, column - 1)
  if (!entry?.originalSource) return `${shown(script)}:${line}:${column}`
  return `${shown(entry.originalSource)}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
}

/** The app's call site: neither Node's nor Plimsoll's. Costs some µs. Null if there is none. */
function caller() {
  return read(take(caller, FRAMES))
}

module.exports = { FRAMES, bounded, placeOf, sourceOf, moduleOf, take, first, read, nearest, caller }
