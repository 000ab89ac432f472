'use strict'

/*
 * The options of `plimsoll()`: the settings of this thread's recorder, and what is watched in addition.
 */

const os = require('node:os')
const { guarded } = require('../core/logger.js')
const NAMES = require('../core/option-names.js')
const options = require('../core/options.js')
const { settingsOf: watchedOf } = require('../leaks/index.js')
const heapOptions = require('../recorder/heap-limit.js')
const { defaults: defaultsOfRecorder, leaksOf } = require('../recorder/options.js')

const LARGE_RESPONSE = '1mb'

function settingsOf(given) {
  const where = 'plimsoll()'
  const { name, log, urls, recorder, stats, async, layers, nearLimit, leaks, largeResponses, snapshotSignal, watch } =
    options.object(where, given, NAMES)
  const defaults = defaultsOfRecorder()
  return {
    explicit: given !== undefined,
    name: name === undefined ? defaults.name : options.string(`${where}'s name`, name, 64),
    log: log === undefined ? undefined : guarded(options.logger(`${where}'s log`, log)),
    urls: urls === undefined ? defaults.urls : options.oneOf(`${where}'s urls`, urls, ['masked', 'full']),
    recorder: recorder === undefined ? defaults.recorder : place(`${where}'s recorder`, recorder, defaults.recorder),
    stats: stats === undefined ? undefined : statsFile(`${where}'s stats`, stats),
    async: async === undefined ? defaults.async : options.oneOf(`${where}'s async`, async, ['sampled', true, false]),
    layers: layers === undefined ? defaults.layers : options.oneOf(`${where}'s layers`, layers, [true, false]),
    nearLimit: nearLimit === undefined ? defaults.nearLimit : heapOptions.reserve(`${where}'s nearLimit`, nearLimit),
    leaks: leaksOf(`${where}'s leaks`, leaks),
    largeResponseOver: largeResponsesOf(`${where}'s largeResponses`, largeResponses),
    snapshotSignal: signalOf(`${where}'s snapshotSignal`, snapshotSignal),
    watched: watchedOf(`${where}'s watch`, watch)
  }
}

/** A signal that a process can handle, or null. */
function signalOf(where, given) {
  if (given === undefined) return null
  const deaf = ['SIGKILL', 'SIGSTOP']
  const known = typeof given === 'string' && given in os.constants.signals && !deaf.includes(given)
  return known ? given : options.fail(where, given, "the name of a signal that can be handled, like 'SIGUSR2'")
}

/** Responses in one piece from this size on are reported. Null if none are. */
function largeResponsesOf(where, given) {
  if (given === undefined || given === false) return null
  if (given !== true && !options.isObject(given))
    options.fail(where, given, "true, false or an object like { over: '1mb' }")
  const { over = LARGE_RESPONSE } = options.object(where, given === true ? undefined : given, ['over'])
  return options.size(`${where}.over`, over)
}

function place(where, given, defaults) {
  if (given === false) return { inMemory: true }
  const { dir } = options.object(where, given, ['dir'])
  return dir === undefined ? defaults : { dir: options.string(`${where}.dir`, dir, 4096) }
}

function statsFile(where, given) {
  const known = ['file', 'intervalMs', 'maxBytes', 'keep']
  const { file, intervalMs = 10_000, maxBytes = '10mb', keep = 5 } = options.object(where, given, known)
  const bytes = options.size(`${where}.maxBytes`, maxBytes)
  if (bytes < 4096) options.fail(`${where}.maxBytes`, maxBytes, 'at least 4kb')
  return {
    file: options.string(`${where}.file`, file, 4096),
    intervalMs: options.integer(`${where}.intervalMs`, intervalMs, 100, 3_600_000),
    maxBytes: bytes,
    keep: options.integer(`${where}.keep`, keep, 0, 1000)
  }
}

module.exports = settingsOf
