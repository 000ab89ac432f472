'use strict'

/*
 * Calls the app's logger. If it throws, its message becomes a warning of the process, and the server is not affected.
 */

const describe = require('./describe.js')

const CODE = 'PLIMSOLL_LOG'

/** Returns `{ info, warn, error }`, which do not throw. */
function guarded(logger) {
  const method = name => message => {
    try {
      // Some loggers write in the background, and reject on failure.
      logger[name](message)?.catch?.(failed)
    } catch (error) {
      failed(error)
    }
    function failed(error) {
      process.emitWarning(message, { code: CODE, detail: `log.${name}() failed: ${describe.message(error)}` })
    }
  }
  return { info: method('info'), warn: method('warn'), error: method('error') }
}

/** Warns through the app's logger. Without one, emits a warning of the process. */
function warn(log, message, code) {
  if (log) log.warn(message)
  else process.emitWarning(message, { code })
}

module.exports = { guarded, warn }
