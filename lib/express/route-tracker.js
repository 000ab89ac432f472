'use strict'

/*
 * The route that a request belongs to, as the mounted pattern: `/api/users/:id`, never the URL.
 *
 * Express knows the pattern only while it walks its layers. Afterwards `req.baseUrl` is the real URL, and `req.route`
 * may be a route that passed the request on. So the methods of the Layer prototype are wrapped, and an observed request
 * has a trace with two parts:
 *
 * - `place` is the router that it is in: a node in a tree of mounts, keyed weakly by layer, which is collected with the
 *   app. It is `null` if unknown (plimsoll is mounted below the root, and what is above was entered unobserved). It is
 *   then searched when it is needed.
 * - `entry` is the claim of the route or mount that has the request now. A claim ends when its owner passes the request
 *   on without an error. An error keeps it.
 *
 * The app receives the `next` that Express created. It is also `req.next`, and `res.format()` uses that one. It is
 * wrapped only if no code of the app receives it (a route's layer, a router, a mounted app). A function that is mounted
 * at a path has passed the request on in two cases: a layer of the same router is dispatched with the same `next`, or
 * the router has been left, which restores `req.baseUrl` and `req.next`.
 *
 * A route that passes the request on with `next()` may have set what a later middleware sends. The label is then that
 * of the route. There are two exceptions: the status is 404 (no route has taken the request), or another route or mount
 * has the request.
 *
 * Rejected alternatives: `baseUrl + route.path` at the end (ids in labels, fall-throughs under the wrong route),
 * replacing `layer.handle` (breaks other instrumentation), patching `use` (mounts are created before the first
 * request).
 */

const internalErrors = require('../core/internal-errors.js')
const { anyStateOf } = require('../request/lifecycle.js')
const express = require('./app.js')
const foreign = require('./other-frameworks.js')
const names = require('./route-names.js')
const { describe, handles, hidesNext, learn, pathname, pathOf, routerWithin, MOUNTED_APP } = express
const { PLAIN, ROUTE } = require('./layer-pattern.js')
const places = require('./route-tree.js')
const { UNMATCHED, child, enterMount, enterRoute, hostOf, locate, search, stray } = places

const NOT_FOUND = 404

/** Runs the layers of a followed request. `meterWith` replaces it. */
let meter = {
  request: (original, layer, _life, req, res, next) => original.call(layer, req, res, next),
  error: (original, layer, _life, error, req, res, next) => original.call(layer, error, req, res, next)
}

/** Listeners that are called before each layer runs. */
const looks = new Set()
/** Calls all of them. Null if there is none. */
let look = null

function Trace(base, root, onRoute, state) {
  this.place = base === '' ? root : null
  this.mounted = 0 // length of the baseUrl of `place`
  this.mount = null // the innermost Mount that the request is in
  this.entry = base === '' ? UNMATCHED : null
  this.last = null // the entry of the last route that has passed the request on
  this.named = names.take(state.req) // given by hand: it has precedence
  this.base = base // the baseUrl where it was observed
  this.route = null // the last req.route that was processed
  this.layer = null // the layer that was dispatched last
  this.answered = false
  this.failed = false // whether an error has been passed on
  this.onRoute = onRoute
  this.state = state // the state of the request
}

/** A mount that was entered, until the request leaves it. `next` is that of the router in which it is mounted. */
function Mount(trace, inside, length, next) {
  this.inside = inside
  this.length = length // length of the baseUrl in it
  this.next = next
  this.place = trace.place
  this.mounted = trace.mounted
  this.last = trace.last
  this.above = trace.mount
}

/** The trace of a request; null if it is not observed. */
function traceOf(req) {
  const state = anyStateOf(req)
  return state === undefined ? null : state.trace
}

/**
 * Follows a request from now on. `onRoute(state, entry)` is called for each route that takes it. It is optional for
 * callers that only need the route later.
 */
function observe(state, onRoute = ignore) {
  const { trace, req } = state
  try {
    // A trace from before the app received the request knows no router.
    if (trace === null || (trace.layer === null && trace.place === null && trace.base === '')) {
      const listener = trace === null || onRoute !== ignore ? onRoute : trace.onRoute
      state.trace = new Trace(req.baseUrl || '', hostOf(req), listener, state)
      if (trace !== null && trace.named !== null) state.trace.named = trace.named
    } else if (trace.onRoute === ignore) {
      trace.onRoute = onRoute
    }
    if (state.trace.named !== null) notify(state.trace, state.trace.named)
  } catch (error) {
    internalError(error)
  }
}

function ignore() {}

/** Names the route of a request by hand. */
function name(req, label) {
  const entry = names.entryOf(req, label)
  if (entry === null) return
  const trace = traceOf(req)
  if (trace === null) return names.keep(req, entry)
  trace.named = entry
  notify(trace, entry)
}

/** The route of a request as findings show it, `GET /users/:id`. Undefined if none is known. */
function titleOf(state) {
  const entry = current(state.req)
  return entry === UNMATCHED ? undefined : `${state.method} ${entry.label}`
}

/** The app's function that had the request last, or null if none is known. */
function handlerOf(state) {
  return state.trace?.layer?.handle ?? null
}

function current(req) {
  const trace = traceOf(req)
  if (trace === null) return UNMATCHED
  if (trace.named !== null) return trace.named
  try {
    const entry = claimed(req, trace)
    if (trace.last !== null && trace.state.res.statusCode !== NOT_FOUND) return trace.last
    return entry === UNMATCHED && hostOf(req) === null ? foreign.entryOf(req, trace.state) : entry
  } catch (error) {
    internalError(error)
    return UNMATCHED
  }
}

function claimed(req, trace) {
  if ((express.seen.paramCallbacks || !trace.route) && !trace.answered && hostOf(req) !== null) {
    const place = places.undispatched(req, trace.route)
    if (place !== null) {
      trace.last = null
      return place.entry
    }
  }
  if (trace.mount !== null) leaveUnseen(trace, req)
  if (trace.entry === null) return places.unclaimed(req, trace).entry
  if (trace.place !== null && trace.entry === trace.place.entry) trace.place.answered = true
  return trace.entry
}

function predict(req) {
  try {
    const trace = traceOf(req)
    if (trace !== null && trace.named !== null) return trace.named
    const entry = trace === null || trace.entry === UNMATCHED ? null : trace.entry
    if (entry !== null && (trace.place === null || entry !== trace.place.entry)) return entry
    if (hostOf(req) === null) return UNMATCHED

    const method = String(req.method).toLowerCase()
    let likely = null
    const route = search(req, pathOf(req), (layer, path, place) => {
      if (layer.route) return handles(layer.route, method) ? enterRoute(place, layer, path) : null
      // A plain function is opaque: it may respond, unless it has only ever passed requests on.
      if (routerWithin(layer) !== null || layer.handle.length > 3) return null
      const inside = enterMount(place, layer, path)
      if (inside === null || inside.place === place || (inside.place.passed && !inside.place.answered)) return null
      if (likely === null || inside.place.prefix.length >= likely.prefix.length) likely = inside.place
      return null
    })
    const place = route || likely
    return place === null ? UNMATCHED : place.entry
  } catch (error) {
    internalError(error)
    return UNMATCHED
  }
}

/** The pattern of the route that has a request, or that a refused one was meant for. Null if none is known. */
function routeOf(req) {
  try {
    const entry = current(req)
    const found = entry === UNMATCHED ? predict(req) : entry
    return found === UNMATCHED ? null : found.label
  } catch (error) {
    internalErrors.report('when a route was searched', error)
    return null
  }
}

// Methods of Layer, called while the request passes

express.follow(wrapRequest, wrapError)

function wrapRequest(original) {
  return function (req, res, next) {
    const trace = traceOf(req)
    if (trace === null) return original.call(this, req, res, next)
    trace.layer = this
    if (look !== null) look(trace.state, this)
    // Only handlers inside a route have a method.
    const onward = this.method === undefined ? enter(trace, this, req, next) : next
    if (this.name !== MOUNTED_APP) return meter.request(original, this, trace.state, req, res, onward)
    const { app } = req
    const result = meter.request(original, this, trace.state, req, res, onward)
    if (req.app !== app) learn(this, app, req.app)
    return result
  }
}

function wrapError(original) {
  return function (error, req, res, next) {
    const trace = traceOf(req)
    if (trace === null) return original.call(this, error, req, res, next)
    if (this.handle.length === 4) trace.layer = this
    // An error inside a route is handled by the route.
    if ('route' in this) {
      trace.failed = true
      if (trace.mount !== null) leaveBy(trace, req, next)
    }
    return meter.error(original, this, trace.state, error, req, res, next)
  }
}

function enter(trace, layer, req, next) {
  try {
    const { route } = layer
    // `use` and `route` both set it. Handlers inside a route have none.
    if (route === undefined && !('route' in layer)) return next
    if (route !== undefined) trace.route = route
    else if (express.seen.paramCallbacks || trace.route === null) trace.route = req.route
    // An error handler passes the request on like any other middleware.
    if (trace.failed) passOn(trace)
    if (trace.mount !== null) leaveBy(trace, req, next)
    const { kind } = describe(layer)
    if (kind === PLAIN || trace.answered) return next
    if (trace.place === null && trace.base === '') trace.place = hostOf(req)
    return kind === ROUTE ? enterRouteLayer(trace, layer, req, next) : enterMountLayer(trace, layer, req, next)
  } catch (error) {
    internalError(error)
    trace.entry = UNMATCHED
    return next
  }
}

function enterRouteLayer(trace, layer, req, onward) {
  const { place, mounted, mount, last } = trace
  const { entry } = routePlace(trace, layer, req)
  trace.entry = entry
  trace.last = null
  if (trace.named === null) notify(trace, entry)
  return function next(error) {
    leave(trace, mount, place, mounted, isFailure(error))
    trace.last = error === 'router' ? last : entry
    return onward(error)
  }
}

function enterMountLayer(trace, layer, req, onward) {
  const inside = mountPlace(trace, layer, req)
  const mount = new Mount(trace, inside, req.baseUrl.length, onward)
  trace.entry = inside.entry
  if (trace.last !== null && !trace.last.label.startsWith(`${inside.prefix}/`)) trace.last = null
  trace.mount = mount
  trace.place = inside
  trace.mounted = mount.length
  if (!hidesNext(layer.handle, layer.name)) return onward
  return function next(error) {
    leave(trace, mount.above, mount.place, mount.mounted, isFailure(error))
    return onward(error)
  }
}

function routePlace(trace, layer, req) {
  if (trace.place === null) return locate(req, layer) || child(stray(req, req.baseUrl), layer, 0)
  const place = trace.mount === null ? trace.place : routerOf(trace, req)
  if (describe(layer).tests.length === 1) return child(place, layer, 0)
  return enterRoute(place, layer, pathname(req.url)) || child(place, layer, 0)
}

/** The router of a route that matches `req.url`. A middleware in a mount may have added the path of the mount again. */
function routerOf(trace, req) {
  const { baseUrl, url, originalUrl } = req
  const { place } = trace
  if (typeof originalUrl !== 'string') return place
  // Express adds a slash if nothing is left.
  const more = originalUrl.length - baseUrl.length - url.length
  if (more === 0 || more === -1) return place
  const path = pathname(url)
  if (pathname(originalUrl) === baseUrl + path) return place
  let outermost = place
  for (let { mount } = trace; mount !== null && mount.place !== null; mount = mount.above) {
    const mounted = baseUrl.slice(mount.mounted)
    if (path === mounted || path.startsWith(`${mounted}/`)) outermost = mount.place
  }
  return outermost
}

function mountPlace({ place, mounted }, layer, req) {
  if (place === null) return locate(req, layer) || stray(req, req.baseUrl)
  const path = req.baseUrl.slice(mounted)
  if (describe(layer).tests.length === 1) return child(place, layer, 0, path)
  const inside = enterMount(place, layer, path)
  return inside === null ? child(place, layer, 0, path) : inside.place
}

// When a claim ends

/**
 * A layer that is dispatched with the `next` of an outer router shows that what is mounted there has passed the request
 * on.
 */
function leaveBy(trace, req, next) {
  let left = null
  for (let { mount } = trace; mount !== null; mount = mount.above) {
    if (mount.next === next || req.baseUrl.length < mount.length) left = mount
  }
  if (left !== null) leave(trace, left.above, left.place, left.mounted, trace.failed)
}

/** The same if no layer was dispatched after it: its router has been left. */
function leaveUnseen(trace, req) {
  const { length } = req.baseUrl || ''
  let left = null
  for (let { mount } = trace; mount !== null; mount = mount.above) {
    if (length < mount.length && req.next !== mount.next) left = mount
  }
  if (left === null) return
  // Without an error, Express's last handler sends 404. Any other status comes from what is mounted there.
  const failed = trace.failed || trace.state.res.statusCode !== NOT_FOUND
  leave(trace, left.above, left.place, left.mounted, failed)
  if (!failed) trace.entry = outside(trace)
}

/** Returns to where `mount` was the innermost mount. */
function leave(trace, mount, place, mounted, failed) {
  for (let left = trace.mount; left !== null && left !== mount && !failed; left = left.above) {
    left.inside.passed = true
    trace.last ??= left.last
  }
  trace.mount = mount
  trace.place = place
  trace.mounted = mounted
  trace.failed = failed
  if (!failed) passOn(trace)
}

function passOn(trace) {
  trace.failed = false
  if (trace.state.res.writableEnded) trace.answered = true
  else if (!trace.answered) trace.entry = outside(trace)
}

/** The claim of the router that the request is in. */
function outside({ place, base }) {
  return place !== null ? place.entry : base === '' ? UNMATCHED : null
}

function isFailure(error) {
  return Boolean(error) && error !== 'route' && error !== 'router'
}

function notify(trace, entry) {
  try {
    trace.onRoute(trace.state, entry)
  } catch (error) {
    internalError(error)
  }
}

function internalError(error) {
  internalErrors.report('when a route was followed', error)
}

/** From now on layers run through `other.request` and `other.error`, which also get the state of the request. */
function meterWith(other) {
  meter = other
}

/**
 * From now on `looked(state, layer)` is called before each layer of a followed request. It must not throw. Returns a
 * function that ends this.
 */
function lookWith(looked) {
  looks.add(looked)
  chooseLook()
  return () => {
    looks.delete(looked)
    chooseLook()
  }
}

function chooseLook() {
  const [first = null] = looks
  look = looks.size < 2 ? first : (state, layer) => looks.forEach(looked => void looked(state, layer))
}

module.exports = { UNMATCHED, observe, name, current, predict, routeOf, titleOf, handlerOf, meterWith, lookWith }
