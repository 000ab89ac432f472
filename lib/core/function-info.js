'use strict'

/*
 * What V8 knows of a function: its script and line, and the app's own function within what tracers and `bind` have put around it. V8's answers are
 * believed once those of functions whose places are known were right.
 */

const { runInThisContext } = require('node:vm')
const { native } = require('./addon.js')
const { bounded, nearest, placeOf } = require('./call-site.js')

/** Wrappers in wrappers, as instrumentation makes them. */
const WRAPPED_DEPTH = 8
const KNOWN_LINES = [3, 41]

/** Whether V8 names the right places of functions; null until it has been asked. */
let placed = null

/** The app's function in what a tracer has wrapped, or `bind` has bound. */
function unwrapped(handle) {
  let inner = handle
  for (let depth = 0; depth < WRAPPED_DEPTH; depth++) {
    // OpenTelemetry and others (shimmer) keep the function that they wrap under this name.
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

/** Where a function is defined; '' where it is not known. */
function definitionOf(handle) {
  const origin = originOf(handle)
  return origin?.script ? placeOf(origin.script, origin.line) : ''
}

function scriptOf(handle) {
  return originOf(handle)?.script ?? ''
}

/** A function's script and line, from V8; null where they are not known. */
function originOf(handle) {
  return isPlaced() ? native.functionOrigin(handle) : null
}

/** Whether V8's answers can be believed: those of functions whose places are known were right. */
function isPlaced() {
  if (native === null) return false
  if (placed === null) {
    const own = native.functionOrigin(isPlaced)
    // Nothing was asked: the recording has not begun, or the probe is off.
    if (!own) return false
    placed = own.script === __filename && knowsPlaces()
  }
  return placed
}

/** Whether V8 finds functions at the places where they were put. */
function knowsPlaces() {
  return KNOWN_LINES.every(line => {
    const filename = `plimsoll-known-${line}.js`
    const known = runInThisContext(`${'\n'.repeat(line - 1)}(function () {})`, { filename })
    const found = native.functionOrigin(known)
    return found?.script === filename && found.line === line
  })
}

/**
 * The place of a finding: the app's frame nearest to where `trace` was taken; without one, the definition of `handler`, the
 * function that had the request; without either, the nearest frame of a module. `null` where there is none.
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
