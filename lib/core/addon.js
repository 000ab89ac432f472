'use strict'

/*
 * Loads the addon, or determines why there is none. Loading it starts nothing: threads and timers begin with the first
 * middleware.
 */

const { CODE, rival } = require('./copies.js')
const { warn } = require('./logger.js')

exports.native = null
exports.reason = null
/** Whether another version of Plimsoll runs here. Then nothing that is shared with it may be patched or watched. */
exports.passive = rival() !== null

if (process.env.PLIMSOLL === 'off') {
  exports.reason = 'switched off by PLIMSOLL=off'
} else if (exports.passive) {
  exports.reason = rival()
} else {
  try {
    exports.native = require('../../binding.js')
  } catch (error) {
    exports.reason = require('./no-binary.js').reasonOf(error)
  }
}

let announced = false

/** Warns once, when the first middleware is created without a binary. */
exports.announceMissingBinary = function announceMissingBinary(log) {
  if (exports.native !== null || announced) return
  announced = true
  if (process.env.PLIMSOLL === 'off') return
  warn(
    log,
    `plimsoll: ${exports.reason}. Limits are enforced in JavaScript; nothing is tracked, recorded or shed.`,
    exports.passive ? CODE : 'PLIMSOLL_NO_BINARY'
  )
}
