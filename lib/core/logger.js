'use strict'

/*
 * The app's logger, as plimsoll calls it: what it throws becomes a warning of the process, with what it was told, and never reaches the server.
 */

const describe = require('./describe.js')

const CODE = 'PLIMSOLL_LOG'

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
      process.emitWarning(message, { code: CODE, detail: `log.${name}() failed: ${describe.message(error)}` })
    }
  }
  return { info: method('info'), warn: method('warn'), error: method('error') }
}

/** A warning to the app's logger, or, where there is none, of the process. */
function warn(log, message, code) {
  if (log) log.warn(message)
  else process.emitWarning(message, { code })
}

module.exports = { guarded, warn }
