'use strict'

/*
 * Internal errors of Plimsoll. Each is counted and caught, and the first of each kind is reported. The app's server
 * must not be affected.
 */

const { native } = require('./addon.js')
const describe = require('./describe.js')

const reported = new Set()
/** The number of internal errors, and the last one. */
const seen = { count: 0, last: null }
let log = null

/** Never throws, for any thrown value. */
function report(where, error) {
  const detail = `${where}: ${describe.stack(error)}`
  seen.count += 1
  seen.last = detail
  try {
    native?.internalError(detail.slice(0, 270))
  } catch {
    // The addon may be the cause.
  }
  if (reported.has(where)) return
  reported.add(where)
  const message = `plimsoll: internal error ${detail}`
  if (log !== null) log.error(message)
  else process.emitWarning(message, { code: 'PLIMSOLL_FAULT' })
}

/**
 * Wraps `work` for a timer or a listener of the process: an exception there would end the process, so it is reported
 * instead. Native functions throw too, since a panic becomes an exception.
 */
function guarded(where, work) {
  return (...args) => {
    try {
      return work(...args)
    } catch (error) {
      report(where, error)
      return undefined
    }
  }
}

module.exports = {
  report,
  guarded,
  seen,
  logTo(logger) {
    log = logger
  }
}
