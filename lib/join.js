'use strict'

/*
 * Chooses the API for this copy's caller: that of the first copy in the process (core/copies.js), or its own.
 *
 * The API is loaded by Node's own loader, even if a test runner uses a loader of its own. What a runner loads ends with
 * its test file, timers and `require` included. So the API has the globals of Node's main context, while a test file of
 * Jest has its own. The TypeErrors of wrong options must be instances of the test file's class.
 */

const { isNativeError, isPromise } = require('node:util/types')
const { name, version } = require('../package.json')
const copies = require('./core/copies.js')

function join() {
  const api = copies.first() ?? ownApi()
  return api.plimsoll instanceof Function ? api : inThisRealm(api)
}

function ownApi() {
  const load = nodeRequire()
  return load === null ? require('./api.js') : load('./api.js')
}

/** The same functions. A TypeError that they throw is converted to one of this file's globals. */
function inThisRealm(functions) {
  return Object.fromEntries(
    Object.entries(functions).map(([name, value]) => [
      name,
      typeof value === 'function' ? wrapped(value) : inThisRealm(value)
    ])
  )
}

function wrapped(call) {
  const wrapper = function (...given) {
    try {
      const result = Reflect.apply(call, this, given)
      return isPromise(result) ? result.then(undefined, fail) : result
    } catch (error) {
      return fail(error)
    }
  }
  Object.defineProperty(wrapper, 'name', { value: call.name, configurable: true })
  return Object.assign(wrapper, inThisRealm(call))
}

/**
 * Message and stack stay. Errors with a prototype of their own (http-errors, `SoakError`) are recognised by `status`,
 * `type` or `name`.
 */
function fail(error) {
  const isForeign = isNativeError(error) && !(error instanceof TypeError)
  if (isForeign && Object.getPrototypeOf(error)?.constructor?.name === 'TypeError')
    Object.setPrototypeOf(error, TypeError.prototype)
  throw error
}

/** `require` of Node's own loader for this folder. Null if this file is not in it (a bundle). */
function nodeRequire() {
  try {
    const load = nodeModule().createRequire(__filename)
    const own = load('../package.json')
    return own.name === name && own.version === version ? load : null
  } catch {
    return null
  }
}

/** Node's own Module class. Jest returns a subclass of it. */
function nodeModule() {
  let found = require('node:process').getBuiltinModule?.('node:module') ?? require('node:module')
  for (;;) {
    const above = Object.getPrototypeOf(found)
    if (typeof above?.createRequire !== 'function') return found
    found = above
  }
}

module.exports = { join }
