'use strict'

/*
 * Runs each layer of an app in a span of the request. With `plimsoll({ layers: true })` it is a span of its own, so
 * that the bytes and time of the layer exclude those of the layers that it passes the request to.
 *
 * The dispatch is wrapped (route-tracker.js) instead of `layer.handle`. Replacing `layer.handle` has broken other
 * tools: arity decides what is an error handler, and instrumentation expects its own function there
 * (opentelemetry-js-contrib#2271).
 */

const { native } = require('../core/addon.js')
const { LIB } = require('../core/folders.js')
const { definitionOf, nameOf, scriptOf, unwrapped } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const spans = require('../request/async-spans.js')

/** `spanOpen` splits it again: handle + layer × 2³¹. */
const LAYER_UNIT = 2 ** 31

const OWN_NAME = /^plimsoll[A-Z]/
/** Files of Express 4's `query`, `expressInit`, routers and mounted apps, and of Express 5's routers. */
const EXPRESS =
  /[\\/](?:express[^\\/]*[\\/]lib[\\/](?:middleware[\\/](?:init|query)|application|express|router[\\/]index)|router[\\/]index)\.js$/

const ids = new WeakMap() // function -> the id of its layer

/** Reopens the request's span for layers that are dispatched asynchronously. Layers are not metered separately. */
const plain = {
  request(original, layer, state, req, res, next) {
    if (state.inside || state.slot <= 0) return original.call(layer, req, res, next)
    return again(state, () => original.call(layer, req, res, next))
  },
  error(original, layer, state, error, req, res, next) {
    if (state.inside || state.slot <= 0) return original.call(layer, error, req, res, next)
    return again(state, () => original.call(layer, error, req, res, next))
  }
}

function again(state, work) {
  const depth = native.spanOpen(state.slot)
  state.inside = true
  try {
    return work()
  } finally {
    state.inside = false
    native.spanClose(depth)
  }
}

/** A span for each layer. The work of Express between two layers is in the span of the one that called `next`. */
const each = {
  request(original, layer, state, req, res, next) {
    const id = state.slot <= 0 || layer.route || layer.handle.length > 3 ? 0 : idOf(layer.handle)
    if (id === 0) return plain.request(original, layer, state, req, res, next)
    return own(state, id, () => original.call(layer, req, res, next))
  },
  error(original, layer, state, error, req, res, next) {
    const id = state.slot <= 0 || layer.handle.length !== 4 ? 0 : idOf(layer.handle)
    if (id === 0) return plain.error(original, layer, state, error, req, res, next)
    return own(state, id, () => original.call(layer, error, req, res, next))
  }
}

function own(state, id, work) {
  const owner = state.slot + id * LAYER_UNIT
  const depth = native.spanOpen(owner)
  const { inside } = state
  state.inside = true
  try {
    return spans.within(owner, work)
  } finally {
    state.inside = inside
    native.spanClose(depth)
  }
}

/** The id of a layer's function. 0 (no id) if it is not the app's or cannot be read. */
function idOf(handle) {
  let id = ids.get(handle)
  if (id === undefined) {
    id = 0
    try {
      const inner = unwrapped(handle)
      const name = nameOf(inner) || nameOf(handle)
      if (!isOurs(inner, name)) id = native.layer(name || '(anonymous)', definitionOf(inner))
    } catch (error) {
      internalErrors.report('when a layer was read', error)
    }
    ids.set(handle, id)
  }
  return id
}

/** Plimsoll's middleware, of this copy or another, and the functions with which Express dispatches requests. */
function isOurs(handle, name) {
  if (OWN_NAME.test(name)) return true
  const script = scriptOf(handle)
  return script.startsWith(LIB) || EXPRESS.test(script)
}

module.exports = { plain, each }
