'use strict'

/*
 * The GET routes of an Express app, if the user names none. The layers are only read: nothing is wrapped.
 */

const { study } = require('../../express/layer-pattern.js')
const { withoutSlashes } = require('../../express/request-path.js')

const DEPTH = 16

/**
 * `{ routes, left }`: patterns that can be filled in, and those that cannot. Null if there is no visible Express app.
 */
function routesOf(app, server) {
  const top = [app, ...server.listeners('request')].find(candidate => stackOf(candidate) !== null)
  if (top === undefined) return null
  const found = { routes: new Set(), left: new Set() }
  walk(stackOf(top), '', found, 0)
  return { routes: [...found.routes], left: [...found.left] }
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

module.exports = { routesOf }
