'use strict'

/*
 * All routes of the app that match a request, for guards that decide before any of them runs. A name that was given by hand is not
 * used here, nor a guess about a mounted function: both are for labels, and a client may have a part in them.
 */

const faults = require('../core/internal-errors.js')
const { describe, handles, match, pathOf } = require('./app.js')
const { hostOf, search } = require('./route-tree.js')

/**
 * The routes for the method and the path of `req`, in the order in which Express dispatches them. Each is an array of the ways to spell its
 * whole pattern, empty for a regular expression. No routes are known in an app that is not Express's, nor behind a function.
 */
function matchingRoutes(req) {
  const found = []
  try {
    if (hostOf(req) === null) return found
    const method = String(req.method).toLowerCase()
    search(req, pathOf(req), (layer, path, place) => {
      if (!layer.route || !handles(layer.route, method)) return null
      const at = match(layer, path)
      if (at !== null) found.push(spellingsOf(place.prefix, describe(layer).patterns[at.index]))
      return null
    })
    return found
  } catch (error) {
    faults.report('when the routes of a path were searched', error)
    return []
  }
}

function spellingsOf(prefix, pattern) {
  if (typeof pattern !== 'string') return []
  // The root of a router is reached with a slash at the end and without, also with strict routing.
  if (pattern === '' || pattern === '/') return prefix === '' ? ['/'] : [prefix, `${prefix}/`]
  return [prefix === '' || pattern[0] === '/' ? prefix + pattern : `${prefix}/${pattern}`]
}

module.exports = { matchingRoutes }
