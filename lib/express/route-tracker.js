'use strict'

/*
 * Which route a request belongs to, as the mounted pattern: `/api/users/:id`, never the URL.
 *
 * Express knows the pattern only while it walks its layers. Afterwards `req.baseUrl` is the real URL, and `req.route` may be a
 * route that passed the request on. So the methods of the Layer prototype are wrapped, and an observed request carries a trace:
 * `place` is the router it is in (a node in a tree of mounts, keyed weakly by layer, which dies with the app), `entry` the claim
 * of the route or mount that has the request now. A claim ends when its owner passes the request on without an error. An error
 * keeps it. A `place` of `null` is unknown (plimsoll is mounted below the root, and what is above was entered unobserved): it is
 * searched when it is needed.
 *
 * The app gets the `next` that Express made: it is also `req.next`, and `res.format()` uses that one. Only where no code of the
 * app receives `next` (a route's layer, a router, a mounted app) is it wrapped. A function that is mounted at a path has passed
 * the request on when a layer of the same router is dispatched, which gets the same `next`, or when the router has been left,
 * which restores `req.baseUrl` and `req.next`.
 *
 * A route that passes the request on with `next()` may have set what a later middleware sends. The label is then that of the
 * route, unless the status is 404 (no route has taken the request), or another route or a mount beside it has it.
 *
 * Rejected: `baseUrl + route.path` at the end (ids in labels, fall-throughs under the wrong route); replacing `layer.handle`
 * (breaks other instrumentations); patching `use` (mounts are made before the first request).
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

/** What runs the layers of a request that is followed: `meterWith` puts a meter here. */
let meter = {
  request: (original, layer, _life, req, res, next) => original.call(layer, req, res, next),
  error: (original, layer, _life, error, req, res, next) => original.call(layer, error, req, res, next)
}

/** Called before each layer runs. */
const looks = new Set()
/** All of them; null while there is none. */
let look = null

function Trace(base, root, onRoute, state) {
  this.place = base === '' ? root : null
  this.mounted = 0 // length of the baseUrl of `place`
  this.mount = null // the innermost Mount that the request is in
  this.entry = base === '' ? UNMATCHED : null
  this.last = null // the entry of the last route that has passed the request on
  this.named = names.take(state.req) // by hand: it wins
  this.base = base // where it was observed
  this.route = null // the last req.route that is dealt with
  this.layer = null // dispatched last
  this.answered = false
  this.failed = false // an error has been passed on
  this.onRoute = onRoute
  this.state = state // of the request
}

/** What was mounted and entered, until the request leaves it. `next` is that of the router that it is mounted in. */
function Mount(trace, inside, length, next) {
  this.inside = inside
  this.length = length // of the baseUrl in it
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
 * Follows a request from here on. `onRoute(state, entry)` is called for each route that takes it; a caller that only asks later
 * gives none.
 */
function observe(state, onRoute = unheard) {
  const { trace, req } = state
  try {
    // One that was made before an app had the request knows no router.
    if (trace === null || (trace.layer === null && trace.place === null && trace.base === '')) {
      const heard = trace === null || onRoute !== unheard ? onRoute : trace.onRoute
      state.trace = new Trace(req.baseUrl || '', hostOf(req), heard, state)
      if (trace !== null && trace.named !== null) state.trace.named = trace.named
    } else if (trace.onRoute === unheard) {
      trace.onRoute = onRoute
    }
    if (state.trace.named !== null) tell(state.trace, state.trace.named)
  } catch (error) {
    internalError(error)
  }
}

function unheard() {}

/** Names the route of a request by hand. */
function name(req, label) {
  const entry = names.entryOf(req, label)
  if (entry === null) return
  const trace = traceOf(req)
  if (trace === null) return names.keep(req, entry)
  trace.named = entry
  tell(trace, entry)
}

/** As findings name the route of a request, `GET /users/:id`; undefined where none is known. */
function titleOf(state) {
  const entry = current(state.req)
  return entry === UNMATCHED ? undefined : `${state.method} ${entry.label}`
}

/** The function of the app that had the request last; null where none is known. */
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
      // Nobody can look into a plain function: it may answer, unless it was only ever seen to pass requests on.
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

/** The pattern of the route that has a request, or that a refused one was meant for; null where none is known. */
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

// While the request passes

express.follow(wrapRequest, wrapError)

function wrapRequest(original) {
  return function (req, res, next) {
    const trace = traceOf(req)
    if (trace === null) return original.call(this, req, res, next)
    trace.layer = this
    if (look !== null) look(trace.state, this)
    // Only the handlers inside a route have a method.
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
    // Inside a route an error is the route's own matter.
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
    // Use and route both set it; the handlers inside a route have none.
    if (route === undefined && !('route' in layer)) return next
    if (route !== undefined) trace.route = route
    else if (express.seen.paramCallbacks || trace.route === null) trace.route = req.route
    // An error handler has passed it on like any other middleware.
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
  if (trace.named === null) tell(trace, entry)
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

/** Where a route is that matches `req.url`: a middleware in a mount may have given that the path of the mount again. */
function routerOf(trace, req) {
  const { baseUrl, url, originalUrl } = req
  const { place } = trace
  if (typeof originalUrl !== 'string') return place
  // Express adds a slash where nothing is left.
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

/** A layer that is dispatched with the `next` of an outer router shows that what is mounted in that has passed the request on. */
function leaveBy(trace, req, next) {
  let left = null
  for (let { mount } = trace; mount !== null; mount = mount.above) {
    if (mount.next === next || req.baseUrl.length < mount.length) left = mount
  }
  if (left !== null) leave(trace, left.above, left.place, left.mounted, trace.failed)
}

/** The same where no layer was dispatched after it: its router has been left. */
function leaveUnseen(trace, req) {
  const { length } = req.baseUrl || ''
  let left = null
  for (let { mount } = trace; mount !== null; mount = mount.above) {
    if (length < mount.length && req.next !== mount.next) left = mount
  }
  if (left === null) return
  // Express's last handler sends 404 where there is no error. Any other status is what was mounted there.
  const failed = trace.failed || trace.state.res.statusCode !== NOT_FOUND
  leave(trace, left.above, left.place, left.mounted, failed)
  if (!failed) trace.entry = outside(trace)
}

/** Back to where `mount` was the innermost mount. */
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

/** The claim of the router that has the request. */
function outside({ place, base }) {
  return place !== null ? place.entry : base === '' ? UNMATCHED : null
}

function isFailure(error) {
  return Boolean(error) && error !== 'route' && error !== 'router'
}

function tell(trace, entry) {
  try {
    trace.onRoute(trace.state, entry)
  } catch (error) {
    internalError(error)
  }
}

function internalError(error) {
  internalErrors.report('when a route was followed', error)
}

/** From here on layers run through `other.request` and `other.error`, which get the state of each request as well. */
function meterWith(other) {
  meter = other
}

/**
 * From here on `looked(state, layer)` is called before each layer of a request that is followed. It must not throw. Returns a function
 * that puts an end to it.
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
