'use strict'

/*
 * The addon, or why there is none. Loading it starts nothing: threads and timers begin with the first middleware.
 */

exports.native = null
exports.reason = null

if (process.env.PLIMSOLL === 'off') {
  exports.reason = 'switched off by PLIMSOLL=off'
} else {
  try {
    exports.native = require('../binding.js')
  } catch (error) {
    exports.reason = require('./no-binary.js').reasonOf(error)
  }
}
