'use strict'

/*
 * What `plimsoll({ leaks })` takes: whether it is watched if memory grows with requests.
 */

const options = require('./options.js')

const DEFAULTS = { trend: true }

/** `{ trend }`. */
function settingsOf(where, given) {
  if (given === undefined || given === true) return DEFAULTS
  if (given === false) return { trend: false }
  const known = Object.keys(DEFAULTS)
  if (!options.isObject(given)) options.fail(where, given, `true, false or an object with ${known.join(', ')}`)
  const { trend = DEFAULTS.trend } = options.object(where, given, known)
  return { trend: options.oneOf(`${where}.trend`, trend, [true, false]) }
}

module.exports = { DEFAULTS, settingsOf }
