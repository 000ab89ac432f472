'use strict'

/*
 * Defaults of the recorder, and the option `plimsoll({ leaks })`. It says whether growth with requests is detected, and
 * whether the allocation site of a leak and what retains it are searched.
 */

const options = require('../core/options.js')
const { DEFAULT_RESERVE } = require('./heap-limit.js')
const { identity } = require('./process-identity.js')

/** `asked`: the app has asked for snapshots, so it is reported where they are not possible. */
const SNAPSHOTS = { dir: undefined, keep: false, asked: false }
const DEFAULTS = { trend: true, sites: true, snapshots: SNAPSHOTS }
const KNOWN = ['trend', 'sites', 'snapshots']

/** `{ trend, sites, snapshots }`. `snapshots` is null or `{ dir, keep, asked }`. */
function leaksOf(where, given) {
  if (given === undefined || given === true) return DEFAULTS
  if (given === false) return { trend: false, sites: false, snapshots: null }
  if (!options.isObject(given)) options.fail(where, given, `true, false or an object with ${KNOWN.join(', ')}`)
  const { trend = DEFAULTS.trend, sites = trend && DEFAULTS.sites, snapshots } = options.object(where, given, KNOWN)
  const settings = {
    trend: options.oneOf(`${where}.trend`, trend, [true, false]),
    sites: options.oneOf(`${where}.sites`, sites, [true, false]),
    snapshots: snapshots === undefined ? (trend ? SNAPSHOTS : null) : snapshotsOf(`${where}.snapshots`, snapshots)
  }
  for (const step of ['sites', 'snapshots']) {
    if (settings[step] && !trend) {
      options.fail(`${where}.${step}`, given[step], 'false if trend is false: the trend starts them')
    }
  }
  return settings
}

function snapshotsOf(where, given) {
  if (given === false) return null
  if (given === true) return { ...SNAPSHOTS, asked: true }
  if (!options.isObject(given)) options.fail(where, given, 'true, false or an object with dir, keep')
  const { dir, keep = false } = options.object(where, given, ['dir', 'keep'])
  if (dir !== undefined) options.string(`${where}.dir`, dir, 4096)
  options.oneOf(`${where}.keep`, keep, [true, false])
  return { dir, keep, asked: true }
}

/** Settings of a recorder that starts before `plimsoll()` has been called, for example by `metrics()`. */
function defaults() {
  return {
    explicit: false,
    name: process.env.PLIMSOLL_NAME || identity().name,
    urls: 'masked',
    recorder: { dir: process.env.PLIMSOLL_DIR || undefined },
    stats: undefined,
    async: 'sampled',
    layers: false,
    largeResponseOver: null,
    snapshotSignal: null,
    nearLimit: DEFAULT_RESERVE,
    leaks: DEFAULTS,
    log: undefined
  }
}

module.exports = { defaults, leaksOf }
