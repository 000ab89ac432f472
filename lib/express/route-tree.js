'use strict'

/*
 * Where in an app a request can be: a tree of mounts and routes, keyed weakly by layer, which is collected with the
 * app. A place knows the pattern of its path.
 */

const { isRegExp } = require('node:util/types')
const express = require('./app.js')
const { probe, decode, MOUNT, PLAIN } = require('./layer-pattern.js')
const { withoutSlashes } = require('./request-path.js')
const isRouteWord = require('./route-word.js')
const { describe, match, pathOf, topOf, stackOf, routerWithin, MOUNT_DEPTH } = express

const LABEL_LENGTH = 200
const LABELS_PER_APP = 1024
const STRAYS_PER_APP = 64

const UNMATCHED = { label: '(unmatched)', id: -1 }

const roots = new WeakMap() // topmost app -> Place
const hosts = new WeakMap() // the prototype that an app sets on its requests -> Place

function Place(root, prefix, entry) {
  this.root = root || this
  this.prefix = prefix
  this.entry = entry
  this.below = new WeakMap() // layer -> a Place for each of its paths
  this.passed = false
  this.answered = false
  this.labels = root ? null : new Map() // shared labels, for routers that are created for each request
  this.strays = root ? null : new Map() // places of which only the URL is known
}

/** The root of the app that has the request now, or null. */
function hostOf(req) {
  const prototype = Object.getPrototypeOf(req)
  const known = hosts.get(prototype)
  if (known !== undefined) return known
  const { app } = req
  if (!app || !express.prepare(app)) return null
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
  if (isRegExp(pattern)) return (prefix + pattern.source).slice(0, LABEL_LENGTH)
  const path = withoutSlashes(String(pattern))
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

/** A place inside a router that cannot be reached from the app: its URL without segments that look like values. */
function stray(req, url) {
  const root = rootOf(req.app)
  let prefix = join('', masked(url, req.params))
  if (!root.strays.has(prefix) && root.strays.size >= STRAYS_PER_APP) prefix = '/*'
  let place = root.strays.get(prefix)
  if (place === undefined) {
    place = new Place(root, prefix, entryOf(root, prefix))
    root.strays.set(prefix, place)
  }
  return place
}

/**
 * A path with parameter values replaced by their names, and other segments that look like values replaced by a star.
 */
function masked(path, params) {
  const names = new Map()
  for (const name of Object.keys(params || {})) {
    // An app may put anything into params. Only values that may occur in a path are compared.
    for (const value of [params[name]].flat()) if (typeof value !== 'object') names.set(String(value), name)
  }
  const segments = path.split('/').map(segment => {
    const name = names.get(decode(segment))
    return name !== undefined && segment !== '' ? `:${name}` : isRouteWord(segment) ? segment : '*'
  })
  return segments.join('/')
}

// Search from the root

function search(req, path, visit) {
  const top = topOf(req.app)
  const root = rootOf(top)
  const place = walk(stackOf(top), path, root, visit, 0)
  // A mounted app may also be served on its own.
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

/**
 * A route that matched but was never dispatched by the wrapper: a param callback responded or failed, or its Layer
 * class is new.
 */
function undispatched(req, dispatched) {
  const { route } = req
  if (!route || route === dispatched) return null
  if (Array.isArray(route.stack)) express.instrument(route.stack)
  return search(req, pathOf(req), (layer, path, place) =>
    layer.route === route ? enterRoute(place, layer, path) : null
  )
}

function unclaimed(req, trace) {
  const { statusCode } = req.res || {}
  // An unhandled error resets the baseUrl as it leaves the routers.
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

module.exports = {
  UNMATCHED,
  LABEL_LENGTH,
  hostOf,
  child,
  stray,
  masked,
  search,
  locate,
  undispatched,
  unclaimed,
  enterRoute,
  enterMount
}
