'use strict'

/*
 * Functions of the app that a guard calls for each request: a limit, a priority, whether a request is exempt. It is an
 * internal error if one throws, returns an invalid value or returns a promise. The error is counted and reported once,
 * and the fallback is used.
 */

const internalErrors = require('./internal-errors.js')
const options = require('./options.js')

/**
 * Returns `call` with its result passed through `check`, which throws for an invalid one. `name` appears in errors:
 * `"limit()'s limit"`. Throws a TypeError if `call` is an async function.
 */
function hook(name, call, check, fallback) {
  options.synchronous(name, call)
  return req => {
    try {
      const result = call(req)
      if (isThenable(result)) {
        // Without a handler, its rejection would end the process.
        result.then(undefined, () => {})
        throw new TypeError('it returned a promise, but the result is needed synchronously')
      }
      return check(result)
    } catch (error) {
      internalErrors.report(`in the function of ${name}`, error)
      return fallback
    }
  }
}

function isThenable(value) {
  return (
    value !== null && (typeof value === 'object' || typeof value === 'function') && typeof value.then === 'function'
  )
}

module.exports = hook
