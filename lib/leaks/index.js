'use strict'

/*
 * The watchers that `plimsoll({ watch })` starts in addition to the recording.
 */

const options = require('../core/options.js')

const KNOWN = ['retained', 'largeProperties', 'timers', 'streams']
const LARGE_PROPERTY = 2 ** 20

/**
 * `{ retained, largeProperties, timers, streams }`: whether each is on. `largeProperties` is a threshold in bytes, or
 * null.
 */
function settingsOf(where, given) {
  if (given === undefined || given === false) return null
  const all = given === true
  if (!all && !options.isObject(given)) options.fail(where, given, `true, false or an object with ${KNOWN.join(', ')}`)
  const wanted = options.object(where, all ? undefined : given, KNOWN)
  const settings = {}
  for (const name of ['retained', 'timers', 'streams'])
    settings[name] = options.oneOf(`${where}.${name}`, wanted[name] ?? all, [true, false])
  settings.largeProperties = largePropertiesOf(`${where}.largeProperties`, wanted.largeProperties ?? all)
  return settings
}

function largePropertiesOf(where, given) {
  if (given === false) return null
  return given === true ? LARGE_PROPERTY : options.size(where, given)
}

/** Watchers stay on until the process ends. A second start changes nothing but a lower threshold. */
function start(settings) {
  if (settings.retained) require('./retained-requests.js').start()
  if (settings.largeProperties !== null) require('./large-properties.js').start(settings.largeProperties)
  if (settings.timers) require('./timers.js').start()
  if (settings.streams) require('./open-streams.js').start()
}

module.exports = { settingsOf, start }
