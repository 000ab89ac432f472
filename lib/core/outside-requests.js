'use strict'

/*
 * Plimsoll creates its timers outside of all requests. A timer retains its async context, and so everything that the
 * app's AsyncLocalStorages store in it, often the request.
 */

const { AsyncResource } = require('node:async_hooks')

/** The context in which this module was loaded. */
const loaded = new AsyncResource('plimsoll')

/** Calls `work()` outside of any request's context, and returns its result. */
function outside(work) {
  return loaded.runInAsyncScope(work)
}

module.exports = { outside }
