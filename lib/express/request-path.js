'use strict'

/* The path of a request target, exactly as Express reads it (parseurl): a guard that read it otherwise could be passed by. */

const url = require('node:url')

/** Characters for which a target is parsed as a URL; any other is split at its first `?`. */
const PARSED = /[\t\n\f\r #\u00a0\ufeff]/

function pathname(target) {
  if (target[0] !== '/' || PARSED.test(target)) {
    try {
      return url.parse(target).pathname || '/'
    } catch {
      // Express fails as well: no route runs.
      return target
    }
  }
  const query = target.indexOf('?')
  return query === -1 ? target : target.slice(0, query)
}

/** Without the slashes at its end. A regular expression would take quadratic time for a URL full of slashes. */
function withoutSlashes(path) {
  let end = path.length
  while (end > 0 && path[end - 1] === '/') end -= 1
  return path.slice(0, end)
}

module.exports = { pathname, withoutSlashes }
