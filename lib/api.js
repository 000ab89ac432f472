'use strict'

/*
 * The functions that all copies of Plimsoll in a process share (core/copies.js).
 */

const copies = require('./core/copies.js')
const { plimsoll, usage } = require('./tracking/track.js')
const { memory, trim } = require('./recorder/memory.js')
const { snapshot } = require('./heap/take-snapshot.js')
const { on, off } = require('./recorder/findings.js')
const { stats, lastDeath } = require('./recorder/stats.js')

module.exports = {
  plimsoll,
  limit: require('./body/limit.js'),
  shed: require('./overload/shed.js'),
  ready: require('./overload/readiness.js'),
  attach: require('./body/expect-continue.js'),
  spool: require('./body/spool.js'),
  scope: require('./scope/scope.js'),
  watchPool: require('./leaks/pool-connections.js'),
  watchListeners: require('./leaks/listeners.js'),
  expectCollected: require('./leaks/retained-requests.js').expectCollected,
  metrics: require('./recorder/metrics.js'),
  stats,
  route: require('./express/route-tracker.js').name,
  usage,
  // Loaded on the first call, because servers do not need it.
  soak: (app, options) => require('./soak').soak(app, options),
  heap: require('./heap/read-snapshot.js'),
  memory,
  trim,
  snapshot,
  lastDeath,
  on,
  off
}

copies.share(module.exports)
