'use strict'

/*
 * Faults of plimsoll's own: counted, reported once a place, swallowed. The user's server must not feel them.
 */

const { native } = require('./native.js')

const reported = new Set()
let log = null

function report(where, error) {
  const detail = `${where}: ${error?.stack ?? error}`
  native?.fault(detail.slice(0, 270))
  if (reported.has(where)) return
  reported.add(where)
  const message = `plimsoll: internal fault ${detail}`
  if (log !== null) log.error(message)
  else process.emitWarning(message, { code: 'PLIMSOLL_FAULT' })
}

module.exports = {
  report,
  logTo(logger) {
    log = logger
  }
}
