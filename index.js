'use strict'

const { plimsoll, usage } = require('./lib/track.js')
const { memory, trim } = require('./lib/memory.js')
const { snapshot } = require('./lib/snapshot.js')
const { on, off } = require('./lib/findings.js')
const { stats, lastDeath } = require('./lib/stats.js')

module.exports = plimsoll
module.exports.limit = require('./lib/limit.js')
module.exports.shed = require('./lib/shed.js')
module.exports.ready = require('./lib/ready.js')
module.exports.attach = require('./lib/attach.js')
module.exports.spool = require('./lib/spool.js')
module.exports.scope = require('./lib/scope.js')
module.exports.watchPool = require('./lib/watch-pool.js')
module.exports.watchListeners = require('./lib/watch-listeners.js')
module.exports.expectGone = require('./lib/retained.js').expectGone
module.exports.metrics = require('./lib/metrics.js')
module.exports.stats = stats
module.exports.route = require('./lib/route.js').name
module.exports.usage = usage
// Loaded when it is called: no server needs it.
module.exports.soak = (app, options) => require('./lib/soak').soak(app, options)
module.exports.heap = require('./lib/heap.js')
module.exports.memory = memory
module.exports.trim = trim
module.exports.snapshot = snapshot
module.exports.lastDeath = lastDeath
module.exports.on = on
module.exports.off = off
