'use strict'

/*
 * What `plimsoll({ leaks })` takes: whether it is watched if memory grows with requests, and whether, if it does, it is looked for where.
 */

const options = require('./options.js')

const DEFAULTS = { trend: true, sites: true }

/** `{ trend, sites }`. */
function settingsOf(where, given) {
  if (given === undefined || given === true) return DEFAULTS
  if (given === false) return { trend: false, sites: false }
  const known = Object.keys(DEFAULTS)
  if (!options.isObject(given)) options.fail(where, given, `true, false or an object with ${known.join(', ')}`)
  const { trend = DEFAULTS.trend, sites = trend && DEFAULTS.sites } = options.object(where, given, known)
  const settings = {
    trend: options.oneOf(`${where}.trend`, trend, [true, false]),
    sites: options.oneOf(`${where}.sites`, sites, [true, false])
  }
  if (sites && !trend)
    options.fail(`${where}.sites`, sites, 'false where trend is: it is the trend that calls for them')
  return settings
}

module.exports = { DEFAULTS, settingsOf }
