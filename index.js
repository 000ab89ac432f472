'use strict'

const api = require('./lib/join.js').join()

/**
 * Each copy has an object of its own. A test may put spies on it, and the copies of other test files are not affected.
 */
module.exports = function plimsoll(options) {
  return api.plimsoll(options)
}
// Each is assigned by name: Node detects from these lines which names ES modules can import.
module.exports.limit = api.limit
module.exports.shed = api.shed
module.exports.ready = api.ready
module.exports.attach = api.attach
module.exports.spool = api.spool
module.exports.scope = api.scope
module.exports.watchPool = api.watchPool
module.exports.watchListeners = api.watchListeners
module.exports.expectCollected = api.expectCollected
module.exports.metrics = api.metrics
module.exports.stats = api.stats
module.exports.route = api.route
module.exports.usage = api.usage
module.exports.soak = api.soak
module.exports.heap = api.heap
module.exports.memory = api.memory
module.exports.trim = api.trim
module.exports.snapshot = api.snapshot
module.exports.lastDeath = api.lastDeath
module.exports.on = api.on
module.exports.off = api.off
