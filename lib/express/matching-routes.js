'use strict'

/*
 * All routes of the app that match a request, for guards that decide before any of them runs. A name that was given by hand is not
 * used here, nor a guess about a mounted function: both are for labels, and a client may have a part in them.
 *
 * To match each route against the path takes time in an app of a thousand. So a guard gives the ends of the patterns that it has a
 * use for, and of the other routes only the first that matches is found.
 */

const internalErrors = require('../core/internal-errors.js')
const { describe, handles, match, pathOf } = require('./app.js')
const { hostOf, search } = require('./route-tree.js')
// It wraps the layers of an app that `hostOf` meets.
require('./route-tracker.js')

/**
 * A function that gives the routes for the method and the path of a request, in the order in which Express dispatches them. Each is an array
 * of the ways to spell its whole pattern, empty for a regular expression. It finds the first, and of the others at least those with a
 * pattern of their own (without their mount) for which `isOfUse` returns true. It finds none in an app that is not Express's, nor
 * behind a function.
 */
function routesBy(isOfUse) {
  const known = new WeakMap() // layer -> whether it is of use
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
  // The root of a router is reached with a slash at the end and without, also with strict routing.
  if (pattern === '' || pattern === '/') return prefix === '' ? ['/'] : [prefix, `${prefix}/`]
  return [prefix === '' || pattern[0] === '/' ? prefix + pattern : `${prefix}/${pattern}`]
}

module.exports = { routesBy }
