'use strict'

/*
 * How the layers of an app run in a request: each in a span of the request, and, where `plimsoll({ layers: true })` asks for it, in
 * one of its own, so that its bytes and time are known apart from those of what it passes the request to.
 *
 * It is the dispatch that is wrapped (route.js). Replacing `layer.handle` would do as well, and has broken others: arity decides
 * what is an error handler, and instrumentation looks for its own function there (opentelemetry-js-contrib#2271).
 */

const faults = require('./faults.js')
const { native } = require('./native.js')
const { placeOf } = require('./origin.js')
const spans = require('./spans.js')

/** What `spanOpen` takes apart again: handle + layer × 2³¹. */
const LAYER_UNIT = 2 ** 31
/** Wrappers in wrappers, as instrumentation makes them. */
const WRAPPED_DEPTH = 8

const ids = new WeakMap() // function -> the id of its layer
let placed = null // whether places of functions can be had

/** Keeps the request's span open behind middleware that goes on asynchronously; layers are not told apart. */
const plain = {
  request(original, layer, life, req, res, next) {
    if (life.inside || life.slot <= 0) return original.call(layer, req, res, next)
    return again(life, () => original.call(layer, req, res, next))
  },
  error(original, layer, life, error, req, res, next) {
    if (life.inside || life.slot <= 0) return original.call(layer, error, req, res, next)
    return again(life, () => original.call(layer, error, req, res, next))
  }
}

function again(life, work) {
  const depth = native.spanOpen(life.slot)
  life.inside = true
  try {
    return work()
  } finally {
    life.inside = false
    native.spanClose(depth)
  }
}

/** A span for each layer. */
const each = {
  request(original, layer, life, req, res, next) {
    if (life.slot <= 0 || layer.route || layer.handle.length > 3)
      return plain.request(original, layer, life, req, res, next)
    return own(life, layer, onward => original.call(layer, req, res, onward), next)
  },
  error(original, layer, life, error, req, res, next) {
    if (life.slot <= 0 || layer.handle.length !== 4) return plain.error(original, layer, life, error, req, res, next)
    return own(life, layer, onward => original.call(layer, error, req, res, onward), next)
  }
}

function own(life, layer, work, next) {
  const owner = life.slot + idOf(layer.handle) * LAYER_UNIT
  const depth = native.spanOpen(owner)
  const { inside } = life
  life.inside = true
  try {
    return spans.within(owner, () => work(outside(life.slot, next)))
  } finally {
    life.inside = inside
    native.spanClose(depth)
  }
}

/** What Express does between two layers belongs to the request and to neither. */
function outside(owner, onward) {
  return function next(error) {
    const depth = native.spanOpen(owner)
    try {
      return spans.within(owner, () => onward(error))
    } finally {
      native.spanClose(depth)
    }
  }
}

/** The id of a layer's function; 0, none, for one that cannot be looked at. */
function idOf(handle) {
  let id = ids.get(handle)
  if (id === undefined) {
    id = 0
    try {
      const inner = unwrapped(handle)
      id = native.layer(nameOf(inner) || nameOf(handle) || '(anonymous)', definitionOf(inner))
    } catch (error) {
      faults.report('when a layer was looked at', error)
    }
    ids.set(handle, id)
  }
  return id
}

/** OpenTelemetry and others (shimmer) keep the function that they wrap under this name. */
function unwrapped(handle) {
  let inner = handle
  for (let depth = 0; typeof inner.__original === 'function' && depth < WRAPPED_DEPTH; depth++) inner = inner.__original
  return inner
}

function nameOf(handle) {
  const { name } = handle
  return typeof name === 'string' ? name : ''
}

/** Where a function is defined; '' where it is not known. */
function definitionOf(handle) {
  if (native === null) return ''
  if (placed === null) placed = native.functionOrigin(definitionOf)?.script === __filename
  const origin = placed ? native.functionOrigin(handle) : null
  return origin?.script ? placeOf(origin.script, origin.line) : ''
}

module.exports = { plain, each, nameOf, definitionOf, unwrapped }
