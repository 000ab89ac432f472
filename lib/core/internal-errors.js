'use strict'

/*
 * Internal errors of Plimsoll: each is counted and swallowed, and the first of each place is reported. The user's server must not feel them.
 */

const { native } = require('./addon.js')
const describe = require('./describe.js')

const reported = new Set()
/** How many there were, and what the last one was. */
const seen = { count: 0, last: null }
let log = null

/** Never throws, whatever was thrown. */
function report(where, error) {
  const detail = `${where}: ${describe.stack(error)}`
  seen.count += 1
  seen.last = detail
  try {
    native?.internalError(detail.slice(0, 270))
  } catch {
    // The addon may be what fails.
  }
  if (reported.has(where)) return
  reported.add(where)
  const message = `plimsoll: internal error ${detail}`
  if (log !== null) log.error(message)
  else process.emitWarning(message, { code: 'PLIMSOLL_FAULT' })
}

/**
 * `work` for a timer, or for a listener of the process: what it throws is reported, since there it would end the process. The native
 * functions throw too: a panic of theirs is an exception.
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
