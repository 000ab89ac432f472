'use strict'

/*
 * Timers of Plimsoll's own are made outside of every request. A timer keeps the async context in which it was made, and so everything that the
 * app's AsyncLocalStorages hold there, which often is the request.
 */

const { AsyncResource } = require('node:async_hooks')

/** The context in which this module was loaded. */
const loaded = new AsyncResource('plimsoll')

/** Calls `work()` in no request's context, and returns what it returns. */
function outside(work) {
  return loaded.runInAsyncScope(work)
}

module.exports = { outside }
