'use strict'

/*
 * Which route a request belongs to, as the mounted pattern: `/api/users/:id`, never the URL.
 *
 * Express knows the pattern only while it walks its layers; afterwards `req.baseUrl` is the real URL, and `req.route` may
 * be a route that passed the request on. So the methods of the Layer prototype are wrapped, and an observed request
 * carries a trace: `place` is the router it is in (a node in a tree of mounts, keyed weakly by layer, which dies with
 * the app), `entry` the claim of the route or mount that has the request now. A claim ends when its owner passes the
 * request on without an error; an error keeps it, whoever answers the error. A place of `null` is unknown (plimsoll is
 * mounted below the root, and what lies above was entered unobserved): it is searched for when it is needed.
 *
 * Rejected: `baseUrl + route.path` at the end (ids in labels, fall-throughs under the wrong route); replacing
 * `layer.handle` (breaks other instrumentations); patching `use` (mounts are made before the first request).
 */

const faults = require('./faults.js')
const express = require('./express.js')
const { anyLifeOf } = require('./lifetime.js')
const { describe, handles, learn, pathname, pathOf, routerWithin, MOUNTED_APP } = express
const { PLAIN, ROUTE } = require('./pattern.js')
const places = require('./places.js')
const { UNMATCHED, child, enterMount, enterRoute, hostOf, locate, search, stray } = places

/** What runs the layers of a request that is followed: `meterWith` puts a meter here. */
let meter = {
  request: (original, layer, _life, req, res, next) => original.call(layer, req, res, next),
  error: (original, layer, _life, error, req, res, next) => original.call(layer, error, req, res, next)
}

/** Who wants to see each layer before it runs. */
const looks = new Set()
/** All of them; null while nobody does. */
let look = null

function Trace(base, root, onRoute, life) {
  this.place = base === '' ? root : null
  this.mounted = 0 // length of the baseUrl of `place`
  this.entry = base === '' ? UNMATCHED : null
  this.base = base // where it was observed
  this.route = null // the last req.route that is dealt with
  this.answered = false
  this.onRoute = onRoute
  this.life = life // of the request
}

/** The trace of a request; null if it is not observed. */
function traceOf(req) {
  const life = anyLifeOf(req)
  return life === undefined ? null : life.trace
}

/**
 * Follows a request from here on; `onRoute(life, entry)` is told of each route that takes it. Who only wants to ask later gives
 * none, and leaves the place to one who does.
 */
function observe(life, onRoute = unheard) {
  if (life.trace !== null) {
    if (life.trace.onRoute === unheard) life.trace.onRoute = onRoute
    return
  }
  const { req } = life
  try {
    life.trace = new Trace(req.baseUrl || '', hostOf(req), onRoute, life)
  } catch (error) {
    fault(error)
  }
}

function unheard() {}

/** As findings name the route of a request, `GET /users/:id`; undefined where none is known. */
function titleOf(life) {
  const entry = current(life.req)
  return entry === UNMATCHED ? undefined : `${life.method} ${entry.label}`
}

function current(req) {
  const trace = traceOf(req)
  if (trace === null) return UNMATCHED
  try {
    if ((express.seen.paramCallbacks || !trace.route) && !trace.answered && hostOf(req) !== null) {
      const place = places.undispatched(req, trace.route)
      if (place !== null) return place.entry
    }
    if (trace.entry === null) return places.unclaimed(req, trace).entry
    if (trace.place !== null && trace.entry === trace.place.entry) trace.place.answered = true
    return trace.entry
  } catch (error) {
    fault(error)
    return UNMATCHED
  }
}

function predict(req) {
  try {
    const trace = traceOf(req)
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
    fault(error)
    return UNMATCHED
  }
}

// While the request passes

express.follow(wrapRequest, wrapError)

function wrapRequest(original) {
  return function (req, res, next) {
    const trace = traceOf(req)
    if (trace === null) return original.call(this, req, res, next)
    if (look !== null) look(trace.life, this)
    // Only the handlers inside a route have a method.
    const onward = this.method === undefined ? enter(trace, this, req, res, next) : next
    if (this.name !== MOUNTED_APP) return meter.request(original, this, trace.life, req, res, onward)
    const { app } = req
    const result = meter.request(original, this, trace.life, req, res, onward)
    if (req.app !== app) learn(this, app, req.app)
    return result
  }
}

function wrapError(original) {
  return function (error, req, res, next) {
    const trace = traceOf(req)
    if (trace === null) return original.call(this, error, req, res, next)
    // A handler that recovers passes the request on like any other.
    const onward = 'route' in this && this.handle.length === 4 ? guard(trace, null, res, next) : next
    return meter.error(original, this, trace.life, error, req, res, onward)
  }
}

function enter(trace, layer, req, res, next) {
  try {
    const { route } = layer
    // Use and route both set it; the handlers inside a route have none.
    if (route === undefined && !('route' in layer)) return next
    if (route !== undefined) trace.route = route
    else if (express.seen.paramCallbacks || trace.route === null) trace.route = req.route
    const { kind } = describe(layer)
    if (kind === PLAIN || trace.answered) return next
    if (trace.place === null && trace.base === '') trace.place = hostOf(req)

    const { place, mounted } = trace
    const inside = kind === ROUTE ? routePlace(place, layer, req) : mountPlace(place, layer, req, mounted)
    const guarded = guard(trace, inside, res, next)
    trace.entry = inside.entry
    if (kind === ROUTE) {
      tell(trace)
    } else {
      trace.place = inside
      trace.mounted = req.baseUrl.length
    }
    return guarded
  } catch (error) {
    fault(error)
    trace.entry = UNMATCHED
    return next
  }
}

function routePlace(place, layer, req) {
  if (place === null) return locate(req, layer) || child(stray(req, req.baseUrl), layer, 0)
  if (describe(layer).tests.length === 1) return child(place, layer, 0)
  return enterRoute(place, layer, pathname(req.url)) || child(place, layer, 0)
}

function mountPlace(place, layer, req, mounted) {
  if (place === null) return locate(req, layer) || stray(req, req.baseUrl)
  const path = req.baseUrl.slice(mounted)
  if (describe(layer).tests.length === 1) return child(place, layer, 0, path)
  const inside = enterMount(place, layer, path)
  return inside === null ? child(place, layer, 0, path) : inside.place
}

function guard(trace, inside, res, onward) {
  const { place, mounted } = trace
  return function next(error) {
    trace.place = place
    trace.mounted = mounted
    if (!error || error === 'route' || error === 'router') {
      if (res.writableEnded) {
        trace.answered = true
      } else if (!trace.answered) {
        if (inside !== null) inside.passed = true
        trace.entry = place !== null ? place.entry : trace.base === '' ? UNMATCHED : null
      }
    }
    return onward(error)
  }
}

function tell(trace) {
  try {
    trace.onRoute(trace.life, trace.entry)
  } catch (error) {
    fault(error)
  }
}

function fault(error) {
  faults.report('when a route was followed', error)
}

/** From here on layers run through `other.request` and `other.error`, which get the life of each request as well. */
function meterWith(other) {
  meter = other
}

/**
 * From here on `looked(life, layer)` is called before each layer of a request that is followed. It must not throw. Returns a function
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
  look = looks.size < 2 ? first : (life, layer) => looks.forEach(looked => void looked(life, layer))
}

module.exports = { UNMATCHED, observe, current, predict, titleOf, meterWith, lookWith }
