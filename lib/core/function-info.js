'use strict'

/*
 * Properties of functions: script and line from V8, and the app's function inside wrappers of tracers and `bind`. V8's
 * answers are used after a self-test with functions whose locations are known.
 */

const { runInThisContext } = require('node:vm')
const { native } = require('./addon.js')
const { bounded, nearest, placeOf } = require('./call-site.js')

/** Wrappers can be nested, as instrumentation does. */
const WRAPPED_DEPTH = 8
const KNOWN_LINES = [3, 41]

/** Whether V8 reports the right locations. Null until the self-test has run. */
let placed = null

/** The app's function that a tracer has wrapped or `bind` has bound. */
function unwrapped(handle) {
  let inner = handle
  for (let depth = 0; depth < WRAPPED_DEPTH; depth++) {
    // OpenTelemetry and other users of shimmer store the wrapped function under this name.
    const next = typeof inner.__original === 'function' ? inner.__original : boundTo(inner)
    if (typeof next !== 'function') break
    inner = next
  }
  return inner
}

function boundTo(handle) {
  return isPlaced() ? native.boundFunction(handle) : undefined
}

function nameOf(handle) {
  const { name } = handle
  return typeof name === 'string' ? name : ''
}

/** Where a function is defined. '' if that is not known. */
function definitionOf(handle) {
  const origin = originOf(handle)
  return origin?.script ? placeOf(origin.script, origin.line) : ''
}

function scriptOf(handle) {
  return originOf(handle)?.script ?? ''
}

/** A function's script and line, from V8. Null if they are not known. */
function originOf(handle) {
  return isPlaced() ? native.functionOrigin(handle) : null
}

/** Whether V8's answers can be trusted: the self-test's were right. */
function isPlaced() {
  if (native === null) return false
  if (placed === null) {
    const own = native.functionOrigin(isPlaced)
    // No answer yet: the recording has not begun, or the probe is off.
    if (!own) return false
    placed = own.script === __filename && knowsPlaces()
  }
  return placed
}

/** Whether V8 reports the locations at which these functions were compiled. */
function knowsPlaces() {
  return KNOWN_LINES.every(line => {
    const filename = `plimsoll-known-${line}.js`
    const known = runInThisContext(`${'\n'.repeat(line - 1)}(function () {})`, { filename })
    const found = native.functionOrigin(known)
    return found?.script === filename && found.line === line
  })
}

/**
 * The call site for a finding. In this order: the app's frame nearest to where `trace` was taken, the definition of
 * `handler` (the function that had the request), the nearest frame of a module. Null if there is none of them.
 */
function placeOfCode(trace, handler = null) {
  const { app, module } = nearest(trace)
  return app ?? placeOfHandler(handler) ?? module
}

function placeOfHandler(handler) {
  if (typeof handler !== 'function') return null
  const inner = unwrapped(handler)
  const name = nameOf(inner) || nameOf(handler)
  const place = definitionOf(inner)
  return place === '' ? null : bounded(place, name === '' ? '' : ` (function ${name})`)
}

module.exports = { nameOf, definitionOf, originOf, scriptOf, unwrapped, placeOfCode }
