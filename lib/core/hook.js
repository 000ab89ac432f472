'use strict'

/*
 * Functions of the app that a guard asks about each request: a limit, a priority, whether a request is exempt. One that throws, returns
 * what cannot be used or returns a promise is an internal error, which is counted and reported once; the fallback holds instead.
 */

const internalErrors = require('./internal-errors.js')
const options = require('./options.js')

/**
 * `call` with its result passed through `check`, which throws if it cannot be used. `name` names it in errors: `"limit()'s limit"`.
 * Throws a TypeError if `call` is an async function.
 */
function hook(name, call, check, fallback) {
  options.synchronous(name, call)
  return req => {
    try {
      const result = call(req)
      if (isThenable(result)) {
        // Its rejection would end the process: nothing else handles it.
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
