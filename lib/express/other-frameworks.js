'use strict'

/*
 * Routes of frameworks other than Express: connect, tinyhttp, polka. Their layers are not visible, but their effects on
 * the request are: connect removes the path of a mount from `req.url`, and the others put parameters into `req.params`.
 *
 * A client's input must not fill the table, so there are at most 64 labels without a parameter.
 */

const { pathname, withoutSlashes } = require('./request-path.js')
const { UNMATCHED, LABEL_LENGTH, masked } = require('./route-tree.js')

const STRAYS = 64
const PATTERNS = 512
const NOT_FOUND = 404

const strays = new Map()
const patterns = new Map()

function entryOf(req, { url, res }) {
  if (typeof req.originalUrl !== 'string' || typeof req.url !== 'string') return UNMATCHED
  const path = pathname(url)
  const { params } = req
  if (typeof params !== 'object' || params === null) {
    const mount = mountOf(path, pathname(req.url))
    return mount === '' ? UNMATCHED : entry(strays, STRAYS, lowered(mount))
  }
  const pattern = patternOf(path, params)
  if (pattern.includes('/:')) return entry(patterns, PATTERNS, pattern)
  return res.statusCode === NOT_FOUND
    ? UNMATCHED
    : entry(strays, STRAYS, lowered(patternOf(path.toLowerCase(), params)))
}

/** The part that was removed from the path, or ''. */
function mountOf(path, rest) {
  if (rest === '/') return withoutSlashes(path)
  return path.endsWith(rest) ? path.slice(0, -rest.length) : ''
}

function patternOf(path, { wild, ...params }) {
  // The value that a star matched may contain slashes.
  const known = typeof wild === 'string' && wild !== '' && path.toLowerCase().endsWith(`/${wild.toLowerCase()}`)
  return known ? `${masked(path.slice(0, -wild.length), params)}*` : masked(path, params)
}

/** Mounts and routes ignore case, and their own text is seldom encoded. */
function lowered(path) {
  return masked(path.toLowerCase())
}

function entry(known, limit, pattern) {
  const label = pattern.slice(0, LABEL_LENGTH)
  const found = known.get(label)
  if (found !== undefined) return found
  const made = { label: known.size < limit ? label : '/*', id: -1 }
  if (known.size <= limit) known.set(made.label, made)
  return made
}

module.exports = { entryOf }
