'use strict'

/*
 * Which route a request belongs to, as the mounted pattern: `/api/users/:id`, never the URL.
 *
 * Express knows the pattern only while it walks its layers; afterwards `req.baseUrl` is the real URL and `req.route` may
 * be a route that passed the request on. So the Layer prototype's methods are wrapped, and each observed request carries
 * a trace: `place` is the router it is in (a node in a tree of mounts, keyed weakly by layer, which dies with the app),
 * `entry` the claim of the route or mount that has the request now. A claim ends when its owner passes the request on
 * without an error; an error keeps it, whoever answers the error. A place of `null` is unknown (the tracker is mounted
 * below the root, and what lies above it was entered unobserved): it is searched for when it is needed.
 *
 * Rejected: `baseUrl + route.path` at the end (ids in labels, fall-throughs under the wrong route); replacing
 * `layer.handle` (breaks other instrumentations); patching `use` (mounts are made before the first request).
 */

const TRACE = Symbol('plimsoll.trace')
const LABEL_LENGTH = 200
const LABELS_PER_APP = 1024
const MOUNT_DEPTH = 16
const PLAIN = 0 // mounted at `/`, or a handler inside a route: changes no label
const MOUNT = 1
const ROUTE = 2
// In the regular expressions of path-to-regexp 0.1 and users: escapes, classes, groups, the rest.
const REGEXP_TOKEN = /\\.|\[(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!]|<[=!]|<\w+>))?|[^]/g
const REGEXP_TAIL = /(?:\\\/\?)?\(\?=\\\/\|\$\)$/ // how path-to-regexp 0.1 ends the pattern of a mount
const SECRET_SEGMENT = /^(?!v\d+(\.\d+)*$).*\d|.{32}/ // an id or a token, as far as one can tell

const UNMATCHED = { label: '(unmatched)', id: -1 }
const faults = { count: 0, last: null }

const patched = new WeakSet() // Layer prototypes
const prepared = new WeakSet() // apps
const roots = new WeakMap() // app at the top -> Place
const descriptions = new WeakMap() // layer -> what `study` found

function Trace(place, base, onRoute) {
  this.place = place
  this.entry = base === '' ? UNMATCHED : null
  this.base = base // where it was observed, if that is not the root
  this.mounted = 0 // length of the baseUrl of `place`
  this.route = null // the last req.route that is dealt with
  this.answered = false
  this.onRoute = onRoute
}

function Place(root, prefix, entry) {
  this.root = root || this
  this.prefix = prefix
  this.entry = entry
  this.below = new WeakMap() // layer -> a Place for each of its paths
  this.passed = false
  this.answered = false
  this.labels = root ? null : new Map() // so that routers made anew for each request share their entries
}

function observe(req, onRoute) {
  if (req[TRACE] !== undefined) return
  const base = req.baseUrl || ''
  const trace = new Trace(null, base, onRoute)
  req[TRACE] = trace
  try {
    if (req.app) prepare(req.app)
    if (req.app && base === '') trace.place = rootOf(req.app)
  } catch (error) {
    fault(error)
  }
}

function current(req) {
  const trace = req[TRACE]
  if (trace === undefined) return UNMATCHED
  try {
    if (trace.place === null && req.app) prepare(req.app)
    // Matched and never dispatched: a param callback answered or failed, or the route's Layer class is new to us.
    if (req.route && req.route !== trace.route && !trace.answered) {
      const { stack } = req.route
      if (Array.isArray(stack)) instrument(stack)
      const place = req.app && search(req, (layer, path, place) => layer.route === req.route && enterRoute(place, layer, path))
      if (place) return place.entry
    }
    if (trace.entry === null) return unclaimed(req, trace)
    if (trace.place !== null && trace.entry === trace.place.entry) trace.place.answered = true
    return trace.entry
  } catch (error) {
    fault(error)
    return UNMATCHED
  }
}

function predict(req) {
  try {
    const trace = req[TRACE]
    const claimed = trace !== undefined && trace.entry !== null && trace.entry !== UNMATCHED
    if (claimed && (trace.place === null || trace.entry !== trace.place.entry)) return trace.entry
    if (!req.app) return UNMATCHED
    prepare(req.app)

    const method = String(req.method).toLowerCase()
    let likely = null
    let length = 0
    const place = search(req, (layer, path, place) => {
      if (layer.route) return handles(layer.route, method) && enterRoute(place, layer, path)
      // Nobody can look into a plain function: it is a guess, until it has been seen only to pass requests on.
      if (innerStack(layer) !== null || layer.handle.length > 3) return null
      const inside = enterMount(place, layer, path)
      if (inside === null || inside.place === place || (inside.place.passed && !inside.place.answered)) return null
      if (inside.place.prefix.length >= length) {
        likely = inside.place
        length = likely.prefix.length
      }
      return null
    })
    return (place || likely || { entry: UNMATCHED }).entry
  } catch (error) {
    fault(error)
    return UNMATCHED
  }
}

// ---- while the request passes

function instrument(stack) {
  for (const layer of stack) {
    const prototype = Object.getPrototypeOf(layer)
    if (patched.has(prototype)) continue
    patched.add(prototype)
    for (const name of ['handleRequest', 'handle_request']) replace(prototype, name, wrapRequest)
    for (const name of ['handleError', 'handle_error']) replace(prototype, name, wrapError)
  }
}

function replace(prototype, name, wrap) {
  const original = prototype[name]
  if (typeof original !== 'function') return
  const wrapped = wrap(original)
  for (const key of ['name', 'length']) Object.defineProperty(wrapped, key, { value: original[key], configurable: true })
  prototype[name] = wrapped
}

function wrapRequest(original) {
  return function (req, res, next) {
    const trace = req[TRACE]
    // `method` is set on the handlers inside a route
    if (trace === undefined || this.method !== undefined) return original.call(this, req, res, next)
    const { app } = req
    const result = original.call(this, req, res, enter(trace, this, req, res, next))
    if (req.app !== app) learn(this, app, req.app)
    return result
  }
}

function wrapError(original) {
  return function (error, req, res, next) {
    const trace = req[TRACE]
    if (trace === undefined || !('route' in this) || this.handle.length !== 4) {
      return original.call(this, error, req, res, next)
    }
    return original.call(this, error, req, res, guard(trace, trace.place, trace.mounted, null, res, next))
  }
}

function enter(trace, layer, req, res, next) {
  try {
    const { kind, tests } = describe(layer)
    if (kind === PLAIN) {
      if ('route' in layer) trace.route = req.route
      return next
    }
    trace.route = req.route
    if (trace.answered || !req.app) return next
    if (trace.place === null && trace.base === '') trace.place = rootOf(req.app)

    const { place, mounted } = trace
    let inside
    if (kind === ROUTE) {
      const within = place || locate(req, layer)
      inside = tests.length === 1 ? child(within, layer, 0) : enterRoute(within, layer, pathOf(req.url)) || within
    } else {
      const step = place && enterMount(place, layer, req.baseUrl.slice(mounted))
      inside = place ? (step ? step.place : place) : locate(req, layer)
      trace.place = inside
      trace.mounted = req.baseUrl.length
    }
    trace.entry = inside.entry
    if (kind === ROUTE) trace.onRoute(req, inside.entry)

    const guarded = guard(trace, place, mounted, inside, res, next)
    // res.sendFile passes a folder on through req.next
    if (req.next === next) req.next = guarded
    return guarded
  } catch (error) {
    fault(error)
    trace.entry = UNMATCHED
    return next
  }
}

function guard(trace, place, mounted, inside, res, onward) {
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
