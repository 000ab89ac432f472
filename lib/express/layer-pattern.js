'use strict'

/*
 * The pattern of an Express layer, from what each version stores, and functions that match a path against it.
 */

// Not instanceof: an app may have globals of its own (vm, Jest), with a RegExp class of its own.
const { isRegExp } = require('node:util/types')

const PLAIN = 0 // mounted at `/`: changes no label
const MOUNT = 1
const ROUTE = 2
const MOUNT_TAIL = '\\/?(?=\\/|$)' // how path-to-regexp 0.1 ends a mount
const REGEXP_CAPTURE = /\((?!\?)(?:\\.|\[(?:\\.|[^\]])*\]|[^()[\\]|\((?:\\.|[^()\\]|\([^()]*\))*\))*\)/g
const PROBE = 'plimsoll-probe'
/** Segments that are tested one by one. Each test reads the whole path, which the client controls. */
const PROBED_SEGMENTS = 64

function study(layer) {
  const declared = layer.route ? layer.route.path : layer.rawPath
  const paths = declared === undefined ? null : [declared].flat(Infinity)
  let { patterns, tests } = layer.regexp ? studyRegexp(layer, paths) : studyMatchers(layer.matchers, paths, declared)
  const expressions = [...(paths || []), layer.regexp].filter(isRegExp)
  // Running a global or sticky regular expression changes its `lastIndex`, and so the app's next match.
  if (expressions.some(path => path.global || path.sticky)) tests = tests.map(() => () => null)
  const plain = patterns.every(pattern => pattern === '' || pattern === '/')
  return { kind: layer.route ? ROUTE : plain ? PLAIN : MOUNT, patterns, tests, app: null }
}

/**
 * Express 5 has one matcher for each path. Its router stores the path of a mount since 2.3. For older ones, `probe`
 * determines it.
 */
function studyMatchers(matchers, paths, declared) {
  let patterns = paths
  if (paths === null) patterns = matchers.map(() => null)
  else if (paths.length !== matchers.length) patterns = matchers.map((_, index) => String(declared[index]))
  return { patterns, tests: matchers }
}

/** Express 4 has one regular expression for all paths, and stores nothing else for a mount. */
function studyRegexp(layer, paths) {
  const { regexp } = layer
  let patterns = paths
  let expressions = [regexp]
  if (paths === null) {
    // An array of paths is joined by `|`. Before path-to-regexp 0.1.11 it was wrapped in a group.
    const sources = regexp.source.replace(/^\(\?:(\^.*)\)$/, '$1').split(/(?<=\(\?=\\\/\|\$\))\|/)
    const keys = [...layer.keys]
    patterns = sources.map(source => rebuild(source, keys))
    if (sources.length > 1) expressions = sources.map(source => new RegExp(source, regexp.flags))
  } else if (paths.length > 1) {
    const options = { sensitive: !regexp.ignoreCase, end: true }
    expressions = paths.map(path => new layer.constructor(path, options, layer.handle).regexp)
  }
  const tests = expressions.map(expression => path => {
    const found = expression.exec(path)
    return found && { path: found[0] }
  })
  return { patterns, tests }
}

/** Reverses path-to-regexp 0.1, where each capture is the next key. Other regular expressions are the user's own. */
function rebuild(source, keys) {
  if (!source.endsWith(MOUNT_TAIL)) return source
  return source
    .slice(1, -MOUNT_TAIL.length)
    .replace(REGEXP_CAPTURE, capture => {
      const [key] = keys.splice(0, capture.match(/\((?!\?)/g).length)
      return typeof key?.name === 'string' ? `:${key.name}` : '*'
    })
    .replace(/\\(.)|\(\?:|\)/g, '$1')
}

/**
 * The pattern of an opaque matcher, from the first path that it matched. Segments that may have any value are
 * parameters.
 */
function probe(matches, text) {
  // The pattern of a regular expression is unknown.
  if (matches.name === 'regexpMatcher') return starred(text)
  // Only a star matches empty segments or that many. Further segments add nothing.
  const segments = text.split('/').filter((segment, index) => index === 0 || segment !== '')
  const more = segments.length - PROBED_SEGMENTS
  if (more > 0) segments.splice(PROBED_SEGMENTS / 2, more)
  const found = attempt(matches, segments.join('/'))
  if (!found && more > 0) return starred(segments.join('/'))
  const { params } = found || { params: {} }
  const unplaced = new Set(Object.keys(params))
  const pattern = segments.map((segment, index) => {
    const found = segment !== '' && attempt(matches, segments.with(index, PROBE).join('/'))
    const name = found && Object.keys(found.params).find(name => [found.params[name]].flat().includes(PROBE))
    if (!name) return segment
    unplaced.delete(name)
    return Array.isArray(params[name]) ? `*${name}` : `:${name}`
  })
  // Several parameters in one segment, as in `/:from-:to`
  for (const name of unplaced) {
    const index = pattern.findLastIndex(segment => decode(segment).includes(params[name]))
    if (index !== -1) pattern[index] = decode(pattern[index]).replace(params[name], `:${name}`)
  }
  return pattern.filter((segment, index) => segment[0] !== '*' || segment !== pattern[index - 1]).join('/')
}

function starred(path) {
  return path.replace(/[^/]+/g, '*')
}

/** The result of a matcher for a path. False if it throws, as Express 5's do for parameters that cannot be decoded. */
function attempt(matches, path) {
  try {
    return matches(path)
  } catch {
    return false
  }
}

function decode(segment) {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

module.exports = { study, attempt, probe, decode, PLAIN, MOUNT, ROUTE }
