'use strict'

/*
 * The app's logger, as plimsoll calls it: what it throws is a fault that is told, and never reaches the server.
 */

const faults = require('./faults.js')

/** `{ info, warn, error }`, which do not throw. */
function guarded(logger) {
  const method = name => message => {
    try {
      // Some write in the background, and reject where they cannot.
      logger[name](message)?.catch?.(failed)
    } catch (error) {
      failed(error)
    }
    function failed(error) {
      // By the process: the logger is out of order.
      process.emitWarning(message, { code: 'PLIMSOLL_LOG' })
      faults.report(`when the app's logger was told (${name})`, error)
    }
  }
  return { info: method('info'), warn: method('warn'), error: method('error') }
}

module.exports = { guarded }
