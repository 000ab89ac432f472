'use strict'

/*
 * All routes of the app that match a request, for guards that decide before any of them runs. Names given by hand and
 * guesses about mounted functions are for labels only: a client can influence them.
 *
 * Matching every route against the path takes time in an app with a thousand routes. So a guard says which pattern ends
 * are relevant. Of the other routes only the first match is found.
 */

const internalErrors = require('../core/internal-errors.js')
const { describe, handles, match, pathOf } = require('./app.js')
const { hostOf, search } = require('./route-tree.js')
// Wraps the layers of each app that `hostOf` finds.
require('./route-tracker.js')

/**
 * Returns a function that finds the routes for the method and path of a request, in the order of Express's dispatch.
 * Each route is an array of spellings of its whole pattern, empty for a regular expression.
 *
 * It finds the first route. Of the others it finds at least those whose own pattern (without the mount) `isOfUse`
 * accepts. It finds none in apps that are not Express's, nor within a plain function.
 */
function routesBy(isOfUse) {
  const known = new WeakMap() // layer -> whether it is relevant
  return req => {
    const found = []
    try {
      if (hostOf(req) === null) return found
      const method = String(req.method).toLowerCase()
      search(req, pathOf(req), (layer, path, place) => {
        if (!layer.route || !handles(layer.route, method)) return null
        if (found.length > 0 && !usedBy(layer)) return null
        const at = match(layer, path)
        if (at !== null) found.push(spellingsOf(place.prefix, describe(layer).patterns[at.index]))
        return null
      })
      return found
    } catch (error) {
      internalErrors.report('when the routes of a path were searched', error)
      return []
    }
  }

  function usedBy(layer) {
    let used = known.get(layer)
    if (used === undefined) {
      used = describe(layer).patterns.some(pattern => typeof pattern === 'string' && isOfUse(pattern))
      known.set(layer, used)
    }
    return used
  }
}

function spellingsOf(prefix, pattern) {
  if (typeof pattern !== 'string') return []
  // The root of a router is reached with and without a slash at the end, even with strict routing.
  if (pattern === '' || pattern === '/') return prefix === '' ? ['/'] : [prefix, `${prefix}/`]
  return [prefix === '' || pattern[0] === '/' ? prefix + pattern : `${prefix}/${pattern}`]
}

module.exports = { routesBy }
