'use strict'

/*
 * Limits by route: `limit({ routes: { 'POST /uploads/:id': '1gb' } })`. The limit must be that of the route whose handler will run.
 *
 * 1. Express's own layers show which routes match the request (express/matching-routes.js). A route may pass the request on to the
 *    next one, so the smallest limit of those that have a key of their own applies.
 * 2. If no such route has one (a mounted function, connect, plain `http`), the keys are compared with the path, in their order. A spelling
 *    that Express may route to the key or to another route, by its settings (case, slashes, HEAD), leaves several candidates: the smallest
 *    of their limits applies.
 */

const { METHODS } = require('node:http')
const options = require('../core/options.js')
const { routesBy } = require('../express/matching-routes.js')
const { pathname } = require('../express/request-path.js')

const TAKES =
  "keys like 'POST /uploads/:id' or '/files/*': an optional method, and a path whose segments are literals or parameters (:id), with an optional * at the end"

/**
 * Returns a function of the request that returns its limit. `general` returns that of other routes, `keyOf(key, limit)`
 * compiles a key.
 */
function compile(where, given, { general, keyOf }) {
  if (!options.isObject(given)) options.fail(where, given, `an object with ${TAKES}`)
  const keys = merged(
    Object.entries(given).map(([text, limit]) => ({ ...parse(where, text), limitOf: keyOf(text, limit) }))
  )
  const routesOf = routesBy(pattern => mayBeNamed(keys, pattern))
  return req => {
    const named = routesOf(req).map(spellings => namedBy(keys, spellings, req))
    const candidates = named.flat()
    if (candidates.length === 0) candidates.push(...candidatesOf(keys, req, [{ limitOf: general }]))
    // The route that will run has no key of its own. A key that is meant for its path may be smaller than those of the
    // routes after it.
    else if (named[0].length === 0) candidates.push(...candidatesOf(keys, req, []))
    return Math.min(...candidates.map(({ limitOf }) => limitOf(req)))
  }
}

/** Keys that differ only in the names of parameters are merged. The smallest of their limits applies. */
function merged(keys) {
  const found = new Map()
  for (const key of keys) {
    const id = `${key.method} ${key.pattern}`
    const same = found.get(id)
    found.set(id, same === undefined ? key : { ...same, limitOf: req => Math.min(same.limitOf(req), key.limitOf(req)) })
  }
  return [...found.values()]
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
  const open = segments.at(-1)[0] === '*'
  const pattern = patternOf(path)
  return {
    method,
    pattern,
    name: looseOf(pattern),
    open,
    segments: (open ? segments.slice(0, -1) : segments).map(literalOf)
  }
}

/** The exact text of a segment, or null for a parameter. */
function literalOf(segment) {
  return segment[0] === ':' ? null : segment
}

/** A pattern without the names of its parameters. */
function patternOf(path) {
  return path.replace(/:\w+/g, ':').replace(/\*\w*$/, '*')
}

/** The pattern without regard to case and a slash at its end. */
function looseOf(pattern) {
  return pattern.toLowerCase().replace(/(.)\/$/, '$1')
}

/** Whether a key may be of a route with this pattern, wherever its router is mounted. */
function mayBeNamed(keys, pattern) {
  const name = looseOf(patternOf(pattern))
  return name === '' || name === '/' || keys.some(key => key.name.endsWith(name))
}

/** The keys of a route: for each method that is spelled like it; if none is, all that differ in case or a slash at the end. */
function namedBy(keys, spellings, req) {
  const patterns = spellings.map(patternOf)
  const names = patterns.map(looseOf)
  return methodsOf(req).flatMap(method => {
    const alike = keys.filter(key => takes(key, method) && names.includes(key.name))
    const exact = alike.filter(key => patterns.includes(key.pattern))
    return firstOfEach(exact.length > 0 ? exact : alike)
  })
}

/** Of several keys with one pattern (one for the method, one for all methods), the first applies. */
function firstOfEach(keys) {
  return keys.filter(key => keys.find(({ pattern }) => pattern === key.pattern) === key)
}

/**
 * Keys that the path may be meant for, in their order, up to the first that it certainly is meant for. `others` if
 * there is none.
 */
function candidatesOf(keys, req, others) {
  const exact = segmentsOf(pathname(req.originalUrl ?? req.url))
  const loose = exact.filter(segment => segment !== '').map(segment => segment.toLowerCase())
  const found = []
  for (const key of keys) {
    if (!methodsOf(req).some(method => takes(key, method))) continue
    if (takes(key, req.method) && matches(key.segments, key.open, exact)) return [...found, key]
    const wanted = key.segments.filter(segment => segment !== '').map(segment => segment?.toLowerCase())
    if (matches(wanted, key.open, loose)) found.push(key)
  }
  return [...found, ...others]
}

/** Express responds to HEAD with a GET route if there is no other. */
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
