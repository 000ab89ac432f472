'use strict'

/*
 * Which limit a body has: one for all, by its content type, by the route that its request is meant for, or by a function. Everything is
 * looked up before a byte is read. A function that fails is replaced by the fallback, 0 where none is given: a guard never fails open.
 */

const { METHODS } = require('node:http')
const url = require('node:url')
const hook = require('./hook.js')
const options = require('./options.js')

const LIMIT_TAKES = `${options.SIZE_TAKES}; or sizes by content type, or a function`
const TYPE = /^[a-z0-9!#$&^_.+-]+\/(?:\*|[a-z0-9!#$&^_.+-]+)$/i
const ROUTE_TAKES =
  "keys like 'POST /uploads/:id', '/files/*': a method or none, and a path whose segments are literal, a parameter (:id), or a * at the end"

/** Whether `given` is sizes by content type, not options. */
function isByType(given) {
  return options.isObject(given) && Object.keys(given).some(key => key.includes('/'))
}

/** A function of the request that gives its limit in bytes. */
function compile(where, { limit, routes, fallback }) {
  const general = compileOne(where, limit, fallback)
  if (routes === undefined) return general
  const list = compileRoutes(`${where.replace(/ limit$/, '')} routes`, routes, fallback)
  return req => {
    const method = req.method
    const segments = segmentsOf(req.originalUrl ?? req.url)
    for (const route of list) if (matches(route, method, segments)) return route.limitOf(req)
    return general(req)
  }
}

function compileOne(where, given, fallback) {
  if (typeof given === 'function') {
    return hook(where, given, result => options.size(`what the function of ${where} returns`, result), fallback)
  }
  if (options.isObject(given)) return byType(where, given)
  const bytes = options.size(where, given, LIMIT_TAKES)
  return () => bytes
}

function byType(where, given) {
  const exact = new Map()
  const families = new Map()
  const sizes = { __proto__: null, ...given }
  for (const [type, size] of Object.entries(sizes)) {
    const bytes = options.size(`${where} for ${JSON.stringify(type)}`, size)
    if (type === 'default') continue
    if (!TYPE.test(type))
      options.fail(where, type, "content types like 'application/json' and 'image/*', and 'default'")
    const name = type.toLowerCase()
    if (name.endsWith('/*')) families.set(name.slice(0, -1), bytes)
    else exact.set(name, bytes)
  }
  if (sizes.default === undefined) options.fail(where, given, "a 'default' beside the content types, for all others")
  const general = options.size(where, sizes.default)
  return req => {
    const header = req.headers['content-type'] ?? ''
    const end = header.indexOf(';')
    const type = (end === -1 ? header : header.slice(0, end)).trim().toLowerCase()
    return exact.get(type) ?? families.get(type.slice(0, type.indexOf('/') + 1)) ?? general
  }
}

function compileRoutes(where, given, fallback) {
  if (!options.isObject(given)) options.fail(where, given, `an object with ${ROUTE_TAKES}`)
  return Object.entries(given).map(([key, limit]) => {
    const [path, method = null, ...more] = key.split(' ').reverse()
    const segments = path.slice(1).split('/')
    const fits = segments.every((segment, index) => {
      if (/^\*\w*$/.test(segment)) return index === segments.length - 1
      return /^:\w+$/.test(segment) || /^[^:*?+(){}[\]!\\#\s]*$/.test(segment)
    })
    const known = method === null || METHODS.includes(method)
    if (path[0] !== '/' || more.length > 0 || !fits || !known) options.fail(where, key, ROUTE_TAKES)
    if (segments.length > 1 && segments.at(-1) === '') segments.pop()
    return {
      method,
      open: segments.at(-1)[0] === '*',
      segments: segments.map(segment => (/^[:*]/.test(segment) ? null : segment.toLowerCase())),
      limitOf: compileOne(`${where} for ${JSON.stringify(key)}`, limit, fallback)
    }
  })
}

/** As Express matches: whatever the case, with a slash at the end or not. */
function matches({ method, segments, open }, asked, found) {
  if (method !== null && method !== asked) return false
  const fixed = open ? segments.length - 1 : segments.length
  if (open ? found.length < fixed : found.length !== fixed) return false
  for (let i = 0; i < fixed; i++) {
    if (segments[i] === null ? found[i] === '' : segments[i] !== found[i]) return false
  }
  return true
}

/** A path's segments. What Express would route must not slip through in another spelling, so it is read as Express reads it. */
function segmentsOf(target) {
  let path = target
  if (target[0] !== '/' || /[#\\\s]/.test(target)) path = pathOf(target)
  const query = path.indexOf('?')
  const segments = (query === -1 ? path : path.slice(0, query)).toLowerCase().slice(1).split('/')
  if (segments.length > 1 && segments.at(-1) === '') segments.pop()
  return segments
}

function pathOf(target) {
  try {
    return url.parse(target).pathname ?? '/'
  } catch {
    return target
  }
}

module.exports = { compile, isByType }
