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
const { study, probe, decode, PLAIN, MOUNT, ROUTE } = require('./pattern.js')

const TRACE = Symbol('plimsoll.trace')
const MOUNTED_APP = 'mounted_app' // what Express calls the closure in which it keeps one
const LABEL_LENGTH = 200
const LABELS_PER_APP = 1024
const STRAYS_PER_APP = 64
const MOUNT_DEPTH = 16 // a router may be mounted on itself
const ID_SEGMENT = /^(?!v\d+(\.\d+)*$).*\d|.{32}/ // an id or a token, as far as one can tell

const UNMATCHED = { label: '(unmatched)', id: -1 }

const patched = new WeakSet() // Layer prototypes
const prepared = new WeakSet() // apps
const roots = new WeakMap() // topmost app -> Place
const hosts = new WeakMap() // the prototype that an app gives to its requests -> Place
const descriptions = new WeakMap() // layer -> what `study` found
let paramCallbacks = false // whether any router has some

function Trace(base, root, onRoute, owner) {
  this.place = base === '' ? root : null
  this.mounted = 0 // length of the baseUrl of `place`
  this.entry = base === '' ? UNMATCHED : null
  this.base = base // where it was observed
  this.route = null // the last req.route that is dealt with
  this.answered = false
  this.onRoute = onRoute
  this.owner = owner // whom onRoute tells of
}

function Place(root, prefix, entry) {
  this.root = root || this
  this.prefix = prefix
  this.entry = entry
  this.below = new WeakMap() // layer -> a Place for each of its paths
  this.passed = false
  this.answered = false
  this.labels = root ? null : new Map() // so that routers made anew for each request share their entries
  this.strays = root ? null : new Map() // places known by their URL only
}

/**
 * The trace of a request, if it is observed. It lies on the stream's state because a property more on a request costs
 * 2 to 4 µs: after Express has changed its prototype, V8 makes a new hidden class for each request and each property
 * (seen on Node 20), and the first read of any property on it costs 0.3 µs. Hence also as few reads as possible.
 */
function traceOf(req) {
  const state = req._readableState
  return state ? state[TRACE] : req[TRACE]
}

function observe(req, onRoute, owner = req) {
  const holder = req._readableState || req
  if (holder[TRACE] !== undefined) return
  try {
    holder[TRACE] = new Trace(req.baseUrl || '', hostOf(req), onRoute, owner)
  } catch (error) {
    fault(error)
  }
}

function current(req) {
  const trace = traceOf(req)
  if (trace === undefined) return UNMATCHED
  try {
    if ((paramCallbacks || !trace.route) && !trace.answered && hostOf(req) !== null) {
      const place = undispatched(req, trace.route)
      if (place !== null) return place.entry
    }
    if (trace.entry === null) return unclaimed(req, trace).entry
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
    const entry = trace === undefined || trace.entry === UNMATCHED ? null : trace.entry
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
  if (!Object.hasOwn(prototype, name)) return
  const original = prototype[name]
  const wrapped = wrap(original)
  Object.defineProperty(wrapped, 'name', { value: original.name, configurable: true })
  Object.defineProperty(wrapped, 'length', { value: original.length, configurable: true })
  prototype[name] = wrapped
}

function wrapRequest(original) {
  return function (req, res, next) {
    const trace = traceOf(req)
    // Only the handlers inside a route have a method.
    if (trace === undefined || this.method !== undefined) return original.call(this, req, res, next)
    const onward = enter(trace, this, req, res, next)
    if (this.name !== MOUNTED_APP) return original.call(this, req, res, onward)
    const { app } = req
    const result = original.call(this, req, res, onward)
    if (req.app !== app) learn(this, app, req.app)
    return result
  }
}

function wrapError(original) {
  return function (error, req, res, next) {
    const trace = traceOf(req)
    const outsideRoute = trace !== undefined && 'route' in this
    // A handler that recovers passes the request on like any other.
    const onward = outsideRoute && this.handle.length === 4 ? guard(trace, null, res, next) : next
    return original.call(this, error, req, res, onward)
  }
}

function enter(trace, layer, req, res, next) {
  try {
    const { route } = layer
    // Use and route both set it; the handlers inside a route have none.
    if (route === undefined && !('route' in layer)) return next
    if (route !== undefined) trace.route = route
    else if (paramCallbacks || trace.route === null) trace.route = req.route
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
    trace.onRoute(trace.owner, trace.entry)
  } catch (error) {
    fault(error)
  }
}

function fault(error) {
  faults.report('when a route was followed', error)
}

// The tree of places

/** The root of the app that has the request now, or null. */
function hostOf(req) {
  const prototype = Object.getPrototypeOf(req)
  const known = hosts.get(prototype)
  if (known !== undefined) return known
  const { app } = req
  if (!app || !prepare(app)) return null
  const root = rootOf(app)
  if (Object.hasOwn(prototype, 'app')) hosts.set(prototype, root)
  return root
}

function rootOf(app) {
  const top = topOf(app)
  let root = roots.get(top)
  if (root === undefined) {
    root = new Place(null, '', UNMATCHED)
    roots.set(top, root)
  }
  return root
}

function child(place, layer, index, text) {
  let known = place.below.get(layer)
  if (known === undefined) {
    known = []
    place.below.set(layer, known)
  }
  if (known[index] === undefined) known[index] = grow(place, layer, index, text)
  return known[index]
}

function grow(place, layer, index, text) {
  const { kind, patterns, tests } = describe(layer)
  if (patterns[index] === null) patterns[index] = probe(tests[index], text)
  const prefix = join(place.prefix, patterns[index])
  if (kind === MOUNT && prefix === place.prefix) return place
  return new Place(place.root, prefix, entryOf(place.root, prefix))
}

function join(prefix, pattern) {
  if (pattern instanceof RegExp) return (prefix + pattern.source).slice(0, LABEL_LENGTH)
  const path = String(pattern).replace(/\/+$/, '')
  const slash = prefix !== '' && path !== '' && path[0] !== '/' ? '/' : ''
  return (prefix + slash + path).slice(0, LABEL_LENGTH)
}

function entryOf(root, prefix) {
  const label = prefix || '/'
  let entry = root.labels.get(label)
  if (entry === undefined) {
    entry = { label, id: -1 }
    if (root.labels.size < LABELS_PER_APP) root.labels.set(label, entry)
  }
  return entry
}

/** A place inside a router that cannot be reached from the app: its URL without what looks like a value. */
function stray(req, url) {
  const root = rootOf(req.app)
  const names = new Map()
  for (const name of Object.keys(req.params || {})) {
    for (const value of [req.params[name]].flat()) names.set(String(value), name)
  }
  const segments = url.split('/').map(segment => {
    const name = names.get(decode(segment))
    return name !== undefined && segment !== '' ? `:${name}` : ID_SEGMENT.test(segment) ? '*' : segment
  })
  let prefix = join('', segments.join('/'))
  if (!root.strays.has(prefix) && root.strays.size >= STRAYS_PER_APP) prefix = '/*'
  let place = root.strays.get(prefix)
  if (place === undefined) {
    place = new Place(root, prefix, entryOf(root, prefix))
    root.strays.set(prefix, place)
  }
  return place
}

// Looking for a place from the top

function search(req, path, visit) {
  const top = topOf(req.app)
  const root = rootOf(top)
  const place = walk(stackOf(top), path, root, visit, 0)
  // An app that is mounted somewhere may be served on its own as well.
  return place || req.app === top || req.baseUrl ? place : walk(stackOf(req.app), path, root, visit, 0)
}

function walk(stack, path, place, visit, depth) {
  if (depth === MOUNT_DEPTH) return null
  for (const layer of stack) {
    const found = visit(layer, path, place)
    if (found) return found
    const within = layer.route ? null : routerWithin(layer)
    const inside = within === null ? null : enterMount(place, layer, path)
    const below = inside === null ? null : walk(within.stack, inside.rest, inside.place, visit, depth + 1)
    if (below !== null) return below
  }
  return null
}

function locate(req, target) {
  return search(req, pathOf(req), (layer, path, place) => {
    if (layer !== target) return null
    if (layer.route) return enterRoute(place, layer, path)
    const inside = enterMount(place, layer, path)
    return inside === null ? null : inside.place
  })
}

/** Matched and never dispatched by us: a param callback answered or failed, or its Layer class is new. */
function undispatched(req, dispatched) {
  const { route } = req
  if (!route || route === dispatched) return null
  if (Array.isArray(route.stack)) instrument(route.stack)
  return search(req, pathOf(req), (layer, path, place) =>
    layer.route === route ? enterRoute(place, layer, path) : null
  )
}

function unclaimed(req, trace) {
  const { statusCode } = req.res || {}
  // An error that nobody handled has taken the baseUrl off on its way out.
  const base = req.baseUrl || (statusCode >= 400 && statusCode !== 404 ? trace.base : '')
  const root = hostOf(req)
  if (base === '' || root === null) return root || { entry: UNMATCHED }
  const place = search(req, base, (layer, path, place) => {
    const inside = layer.route ? null : enterMount(place, layer, path)
    return inside !== null && inside.rest === '/' && inside.place !== place ? inside.place : null
  })
  return place || stray(req, base)
}

function enterRoute(place, layer, path) {
  const found = match(layer, path)
  return found === null ? null : child(place, layer, found.index, found.text)
}

function enterMount(place, layer, path) {
  const found = match(layer, path)
  if (found === null || !path.startsWith(found.text)) return null
  const rest = path.slice(found.text.length)
  if (rest !== '' && rest[0] !== '/' && !found.text.endsWith('/')) return null
  const inside = describe(layer).kind === PLAIN ? place : child(place, layer, found.index, found.text)
  return { place: inside, rest: rest[0] === '/' ? rest : `/${rest}` }
}

/** Like Layer#match, which leaves its findings on the layer, where a request in flight may still need its own. */
function match(layer, path) {
  if (layer.slash || layer.regexp?.fast_slash) return { index: 0, text: '' }
  const { tests } = describe(layer)
  for (let index = 0; index < tests.length; index++) {
    const found = tests[index](path)
    if (found) return { index, text: found.path }
  }
  return null
}

function handles(route, method) {
  const { methods } = route
  return Boolean(methods && (methods._all || methods[method] || (method === 'head' && methods.get)))
}

// Apps and layers

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
  if (router.params && Object.keys(router.params).length > 0) paramCallbacks = true
}

/** A parent keeps a mounted app in a closure, so its layer is recognised by its path. */
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
    // A pattern matches itself, and then each parameter is its own name.
    const found = tests[index](path)
    return found && found.path === path && Object.keys(found.params).every(name => found.params[name] === `:${name}`)
  })
}

/** A request that came out of a layer in another app shows what the layer's closure holds. */
function learn(layer, above, below) {
  try {
    let app = below
    for (let depth = 0; app && app.parent !== above && depth < MOUNT_DEPTH; depth++) app = app.parent
    if (!above || !app || app.parent !== above) return
    describe(layer).app = app
    prepare(app)
  } catch (error) {
    fault(error)
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
  // On Express 4 to touch app.router throws.
  const router = typeof app.lazyrouter === 'function' ? app._router : app.router
  return router && Array.isArray(router.stack) && router.stack.length > 0 ? router : null
}

/** The router behind a layer, as far as one can see it. */
function routerWithin(layer) {
  const { handle } = layer
  if (typeof handle.handle === 'function' && typeof handle.set === 'function') return routerOf(handle)
  // connect has a stack as well, of something else
  if (Array.isArray(handle.stack)) return handle.stack.length > 0 && handle.stack[0].match ? handle : null
  const { app } = describe(layer)
  return app === null ? null : routerOf(app)
}

function pathOf(req) {
  return (req.baseUrl || '') + pathname(req.url)
}

function pathname(url) {
  const path = url[0] === '/' ? url : url.replace(/^[^/?#]+:\/\/[^/?#]*/, '')
  const end = path.search(/[?#]/)
  return (end === -1 ? path : path.slice(0, end)) || '/'
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

module.exports = { UNMATCHED, observe, current, predict }
