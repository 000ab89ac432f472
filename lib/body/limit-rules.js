'use strict'

/*
 * The limit of a body: one for all, by content type, by the route that its request is meant for, or by a function. The
 * limit is known before a byte is read. A function that fails is replaced by the fallback, 0 by default: a guard never
 * fails open.
 */

const hook = require('../core/hook.js')
const options = require('../core/options.js')
const limitsByRoute = require('./limit-by-route.js')

const LIMIT_TAKES = `${options.SIZE_TAKES}; or sizes by content type, or a function`
const TYPE = /^[a-z0-9!#$&^_.+-]+\/(?:\*|[a-z0-9!#$&^_.+-]+)$/i

/** Whether `given` is sizes by content type, not options. */
function isByType(given) {
  return options.isObject(given) && Object.keys(given).some(key => key.includes('/'))
}

/** A function of the request that gives its limit in bytes. */
function compile(where, { limit, routes, fallback }) {
  const general = compileOne(where, limit, fallback)
  if (routes === undefined) return general
  const keyOf = (key, limit) =>
    compileOne(`${where.replace(/ limit$/, '')} routes for ${JSON.stringify(key)}`, limit, fallback)
  return limitsByRoute.compile(`${where.replace(/ limit$/, '')} routes`, routes, { general, keyOf })
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
  if (sizes.default === undefined) options.fail(where, given, "a 'default' for all other content types")
  const general = options.size(where, sizes.default)
  return req => {
    const header = req.headers['content-type'] ?? ''
    const end = header.indexOf(';')
    const type = (end === -1 ? header : header.slice(0, end)).trim().toLowerCase()
    return exact.get(type) ?? families.get(type.slice(0, type.indexOf('/') + 1)) ?? general
  }
}

module.exports = { compile, isByType }
