'use strict'

/*
 * The GET routes of an Express app, if the user names none. The layers are only read: nothing is wrapped.
 */

const { study } = require('../../express/layer-pattern.js')
const { withoutSlashes } = require('../../express/request-path.js')

const DEPTH = 16
/** Methods that are not named as routes of their own. */
const UNASKED = new Set(['get', '_all', 'head', 'options'])

/**
 * `{ routes, left, others }`: GET routes whose patterns can be filled in, those that cannot, and routes of other
 * methods. Null if there is no visible Express app.
 */
function routesOf(app, server) {
  const stack = topOf(app, server)
  if (stack === null) return null
  const found = { routes: new Set(), left: new Set(), others: new Set() }
  walk(stack, '', found, 0)
  return Object.fromEntries(Object.entries(found).map(([kind, names]) => [kind, [...names]]))
}

function topOf(app, server) {
  const top = [app, ...server.listeners('request')].find(candidate => stackOf(candidate) !== null)
  return top === undefined ? null : stackOf(top)
}

/** The functions that all requests pass: those of the app itself, without Express's own. */
function middlewareOf(app, server) {
  const stack = topOf(app, server) ?? []
  const shared = stack.filter(layer => !layer.route && stackOf(layer.handle) === null && isPlain(layer))
  return shared.map(({ handle }) => handle).filter(handle => typeof handle === 'function' && !OWN.has(handle.name))
}

/** Express 4 adds them by itself. */
const OWN = new Set(['query', 'expressInit'])

function isPlain(layer) {
  return study(layer).patterns.every(pattern => pattern === '' || pattern === '/')
}

function stackOf(app) {
  if (typeof app !== 'function') return null
  // On Express 4, reading app.router throws.
  const router = typeof app.lazyrouter === 'function' ? app._router : (app.router ?? app)
  return Array.isArray(router?.stack) ? router.stack : null
}

function walk(stack, prefix, found, depth) {
  if (depth === DEPTH) return
  for (const layer of stack) {
    const { patterns } = study(layer)
    for (const pattern of patterns) {
      const path = typeof pattern === 'string' ? join(prefix, pattern) : null
      if (layer.route) {
        for (const method of Object.keys(layer.route.methods)) {
          const other = layer.route.methods[method] && !UNASKED.has(method)
          if (other) found.others.add(`${method.toUpperCase()} ${(path ?? pattern) || '/'}`)
        }
        if (!layer.route.methods.get && !layer.route.methods._all) continue
        // Parameters are filled with a number. Other parts of a pattern cannot be filled in.
        if (path !== null && /^[\w\-.~/:%@]*$/.test(path)) found.routes.add(`GET ${path || '/'}`)
        else found.left.add(`GET ${path ?? pattern}`)
        continue
      }
      const within = stackOf(layer.handle)
      if (within !== null && path !== null) walk(within, path, found, depth + 1)
    }
  }
}

function join(prefix, pattern) {
  return prefix + withoutSlashes(pattern)
}

module.exports = { routesOf, middlewareOf }
