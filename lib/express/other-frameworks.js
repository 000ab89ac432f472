'use strict'

/*
 * Routes of frameworks that are not Express: connect, tinyhttp, polka. Their layers cannot be seen, but what they leave on the
 * request can: connect takes the path of a mount off `req.url`, the others put parameters into `req.params`.
 *
 * What the client wrote must not fill the table. A label that has no parameter in it is one of at most 64.
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

/** What was taken off the path; '' where nothing was. */
function mountOf(path, rest) {
  if (rest === '/') return withoutSlashes(path)
  return path.endsWith(rest) ? path.slice(0, -rest.length) : ''
}

function patternOf(path, { wild, ...params }) {
  // What a star matched may have slashes in it.
  const known = typeof wild === 'string' && wild !== '' && path.toLowerCase().endsWith(`/${wild.toLowerCase()}`)
  return known ? `${masked(path.slice(0, -wild.length), params)}*` : masked(path, params)
}

/** Mounts and routes match in any case, and their own text is seldom encoded. */
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
