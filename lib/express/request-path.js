'use strict'

/*
 * The path of a request target, exactly as Express parses it (parseurl). A guard that parsed it differently could be
 * bypassed.
 */

const url = require('node:url')

/** A target with one of these characters is parsed as a URL. Any other is split at its first `?`. */
const PARSED = /[\t\n\f\r #\u00a0\ufeff]/

function pathname(target) {
  if (target[0] !== '/' || PARSED.test(target)) {
    try {
      return url.parse(target).pathname || '/'
    } catch {
      // Express fails too, so no route runs.
      return target
    }
  }
  const query = target.indexOf('?')
  return query === -1 ? target : target.slice(0, query)
}

/** Removes the slashes at the end. A regular expression would take quadratic time for a URL full of slashes. */
function withoutSlashes(path) {
  let end = path.length
  while (end > 0 && path[end - 1] === '/') end -= 1
  return path.slice(0, end)
}

module.exports = { pathname, withoutSlashes }
