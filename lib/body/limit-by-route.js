'use strict'

/*
 * Limits by route: `limit({ routes: { 'POST /uploads/:id': '1gb' } })`. The limit must be that of the route whose handler will run.
 *
 * 1. Express's own layers are asked which route will take the request (express/route-tracker.js). If a key names that route, its limit applies.
 * 2. Otherwise the keys are compared with the path, in their order. A spelling that Express may route to the key or to another route,
 *    by its settings (case, slashes, HEAD), leaves several candidates: the smallest of their limits applies.
 */

const { METHODS } = require('node:http')
const options = require('../core/options.js')
const { pathname } = require('../express/request-path.js')
const { UNMATCHED, predict } = require('../express/route-tracker.js')

const TAKES =
  "keys like 'POST /uploads/:id', '/files/*': a method or none, and a path whose segments are literal, a parameter (:id), or a * at the end"

/** A function of the request that gives its limit. `general` gives that of other routes, `keyOf(key, limit)` compiles a key's. */
function compile(where, given, { general, keyOf }) {
  if (!options.isObject(given)) options.fail(where, given, `an object with ${TAKES}`)
  const keys = Object.entries(given).map(([text, limit]) => ({ ...parse(where, text), limitOf: keyOf(text, limit) }))
  return req => {
    const named = namedBy(keys, req)
    const candidates = named.length > 0 ? named : candidatesOf(keys, req, { limitOf: general })
    return Math.min(...candidates.map(({ limitOf }) => limitOf(req)))
  }
}

function parse(where, text) {
  const [path, method = null, ...more] = text.split(' ').reverse()
  const segments = path.slice(1).split('/')
  const fits = segments.every((segment, index) => {
    if (/^\*\w*$/.test(segment)) return index === segments.length - 1
    return /^:\w+$/.test(segment) || /^[^:*?+(){}[\]!\\#\s]*$/.test(segment)
  })
  const known = method === null || METHODS.includes(method)
  if (path[0] !== '/' || more.length > 0 || !fits || !known) options.fail(where, text, TAKES)
  if (segments.length > 1 && segments.at(-1) === '') segments.pop()
  const open = segments.at(-1)[0] === '*'
  return { method, name: nameOf(path), open, segments: (open ? segments.slice(0, -1) : segments).map(literalOf) }
}

/** A segment as it must be; null for a parameter. */
function literalOf(segment) {
  return segment[0] === ':' ? null : segment
}

/** The pattern of a route, whatever its parameters are called, its case and a slash at its end. */
function nameOf(pattern) {
  return pattern
    .toLowerCase()
    .replace(/:\w+/g, ':')
    .replace(/\*\w*$/, '*')
    .replace(/(.)\/$/, '$1')
}

/** The keys that name the route that Express will run: one, or for HEAD one a method. */
function namedBy(keys, req) {
  const entry = predict(req)
  if (entry === UNMATCHED) return []
  const name = nameOf(entry.label)
  const found = methodsOf(req).map(method => keys.find(key => key.name === name && takes(key, method)))
  return found.filter(key => key !== undefined)
}

/** Keys that the path may be meant for, in their order, up to the first that it is meant for in any case. */
function candidatesOf(keys, req, general) {
  const exact = segmentsOf(pathname(req.originalUrl ?? req.url))
  const loose = exact.filter(segment => segment !== '').map(segment => segment.toLowerCase())
  const found = []
  for (const key of keys) {
    if (!methodsOf(req).some(method => takes(key, method))) continue
    if (takes(key, req.method) && matches(key.segments, key.open, exact)) return [...found, key]
    const wanted = key.segments.filter(segment => segment !== '').map(segment => segment?.toLowerCase())
    if (matches(wanted, key.open, loose)) found.push(key)
  }
  return [...found, general]
}

/** Express answers HEAD by a GET route where there is no other. */
function methodsOf({ method }) {
  return method === 'HEAD' ? ['HEAD', 'GET'] : [method]
}

function takes(key, method) {
  return key.method === null || key.method === method
}

function matches(wanted, open, found) {
  if (open ? found.length < wanted.length : found.length !== wanted.length) return false
  return wanted.every((segment, index) => (segment === null ? found[index] !== '' : segment === found[index]))
}

function segmentsOf(path) {
  return path.slice(1).split('/')
}

module.exports = { compile }
