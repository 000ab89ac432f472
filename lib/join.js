'use strict'

/*
 * The API that this copy's caller gets: that of the first copy in the process (core/copies.js), or its own.
 *
 * Node's own loader loads the API, even where a test runner puts a loader of its own in front: what that one loads ends with its test
 * file, timers and `require` included.
 */

const { name, version } = require('../package.json')
const copies = require('./core/copies.js')

function join() {
  const api = copies.first()
  if (api !== undefined) return api
  const load = nodeRequire()
  return load === null ? require('./api.js') : load('./api.js')
}

/** `require` of Node's own loader for this folder; null where this file is not in it (a bundle). */
function nodeRequire() {
  try {
    const load = nodeModule().createRequire(__filename)
    const own = load('../package.json')
    return own.name === name && own.version === version ? load : null
  } catch {
    return null
  }
}

/** Node's own Module class. Jest gives a subclass of it. */
function nodeModule() {
  let found = require('node:process').getBuiltinModule?.('node:module') ?? require('node:module')
  for (;;) {
    const above = Object.getPrototypeOf(found)
    if (typeof above?.createRequire !== 'function') return found
    found = above
  }
}

module.exports = { join }
