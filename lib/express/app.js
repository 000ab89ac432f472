'use strict'

/*
 * What is visible of an Express app from outside: its stack, its layers, and the apps and routers mounted in it. The
 * methods of the Layer prototype are wrapped for route-tracker.js, which follows requests.
 */

const { passive } = require('../core/addon.js')
const internalErrors = require('../core/internal-errors.js')
const { study, attempt } = require('./layer-pattern.js')
const { pathname } = require('./request-path.js')

const MOUNTED_APP = 'mounted_app' // what Express calls the closure in which it keeps one
const MOUNT_DEPTH = 16 // a router may be mounted on itself

const patched = new WeakSet() // Layer prototypes that are patched
const prepared = new WeakSet() // apps that are prepared
const descriptions = new WeakMap() // layer -> its description
const seen = { paramCallbacks: false } // whether any router has param callbacks
let wrappers = null

/** Wraps each Layer prototype that is found: `request` its request handler, `error` its error handler. */
function follow(request, error) {
  wrappers = { request, error }
}

function instrument(stack) {
  if (passive) return
  for (const layer of stack) {
    const prototype = Object.getPrototypeOf(layer)
    if (patched.has(prototype)) continue
    patched.add(prototype)
    for (const name of ['handleRequest', 'handle_request']) replace(prototype, name, wrappers.request)
    for (const name of ['handleError', 'handle_error']) replace(prototype, name, wrappers.error)
  }
}

function replace(prototype, name, wrap) {
  if (!Object.hasOwn(prototype, name)) return
  const original = prototype[name]
  const wrapped = wrap(original)
  Object.defineProperty(wrapped, 'name', { value: original.name, configurable: true })
  Object.defineProperty(wrapped, 'length', { value: original.length, configurable: true })
  prototype[name] = wrapped
}

function prepare(app) {
  if (prepared.has(app)) return true
  const router = routerOf(app)
  if (router === null) return false
  prepared.add(app)
  prepareRouter(router)
  if (app.parent && prepare(app.parent)) linkToParent(app)
  return true
}

function prepareRouter(router) {
  instrument(router.stack)
  if (router.params && Object.keys(router.params).length > 0) seen.paramCallbacks = true
}

/** A parent refers to a mounted app in a closure only, so its layer is recognised by its path. */
function linkToParent(app) {
  const paths = [app.mountpath].flat(Infinity)
  const layers = stackOf(app.parent).filter(layer => layer.name === MOUNTED_APP && describe(layer).app === null)
  const same = layers.find(layer => isMadeFrom(describe(layer), paths))
  const layer = same || (layers.length === 1 ? layers[0] : null)
  if (!layer) return
  const description = describe(layer)
  description.app = app
  if (description.patterns[0] === null) description.patterns = paths
}

function isMadeFrom({ patterns, tests }, paths) {
  if (patterns.length !== paths.length) return false
  return paths.every((path, index) => {
    if (patterns[index] !== null || typeof path !== 'string') return String(patterns[index]) === String(path)
    // A pattern matches itself, and then the value of each parameter is its name.
    const found = attempt(tests[index], path)
    return found && found.path === path && Object.keys(found.params).every(name => found.params[name] === `:${name}`)
  })
}

/** A request that passed through a layer into another app shows which app the layer's closure refers to. */
function learn(layer, above, below) {
  try {
    let app = below
    for (let depth = 0; app && app.parent !== above && depth < MOUNT_DEPTH; depth++) app = app.parent
    if (!above || !app || app.parent !== above) return
    describe(layer).app = app
    prepare(app)
  } catch (error) {
    internalErrors.report('when a mounted app was read', error)
  }
}

function topOf(app) {
  let top = app
  for (let depth = 0; top.parent && depth < MOUNT_DEPTH; depth++) top = top.parent
  return top
}

function stackOf(app) {
  const router = routerOf(app)
  return router === null ? [] : router.stack
}

function routerOf(app) {
  // On Express 4, reading app.router throws.
  const router = typeof app.lazyrouter === 'function' ? app._router : app.router
  return router && Array.isArray(router.stack) && router.stack.length > 0 ? router : null
}

/** The router that a layer dispatches to, if it is visible. */
function routerWithin(layer) {
  const { handle } = layer
  if (typeof handle.handle === 'function' && typeof handle.set === 'function') return routerOf(handle)
  // connect has a stack as well, with different entries
  if (Array.isArray(handle.stack)) return handle.stack.length > 0 && handle.stack[0].match ? handle : null
  const { app } = describe(layer)
  return app === null ? null : routerOf(app)
}

/** Whether a mounted function passes its `next` to no code of the app: an app, a router, or one of connect's. */
function hidesNext(handle, name) {
  if (name === MOUNTED_APP) return true
  return typeof handle.handle === 'function' && (Array.isArray(handle.stack) || typeof handle.set === 'function')
}

function pathOf(req) {
  return (req.baseUrl || '') + pathname(req.url)
}

// The pattern of a layer

function describe(layer) {
  let description = descriptions.get(layer)
  if (description !== undefined) return description
  description = study(layer)
  descriptions.set(layer, description)
  // A router from another copy of Express has a Layer class of its own.
  const within = layer.route ? null : routerWithin(layer)
  if (within !== null) prepareRouter(within)
  return description
}

/** Like Layer#match, which stores its result on the layer. A request in flight may still need its own there. */
function match(layer, path) {
  if (layer.slash || layer.regexp?.fast_slash) return { index: 0, text: '' }
  const { tests } = describe(layer)
  for (let index = 0; index < tests.length; index++) {
    const found = attempt(tests[index], path)
    if (found) return { index, text: found.path }
  }
  return null
}

function handles(route, method) {
  const { methods } = route
  return Boolean(methods && (methods._all || methods[method] || (method === 'head' && methods.get)))
}

module.exports = {
  MOUNTED_APP,
  MOUNT_DEPTH,
  seen,
  follow,
  instrument,
  prepare,
  learn,
  topOf,
  stackOf,
  routerWithin,
  hidesNext,
  pathOf,
  pathname,
  describe,
  match,
  handles
}
