'use strict'

/*
 * `node --import plimsoll/register app.js`: Plimsoll in front of every HTTP server of the process, without a change of
 * the app.
 *
 * At load it only replaces net.Server's `emit`. The configuration is read, and Plimsoll is loaded and started, when the
 * first HTTP server listens, or has a request without that. So npm, build tools and scripts that serve nothing pay a few
 * milliseconds, leave no record and print nothing. An app's own `plimsoll()` usually comes first, and its options are in
 * effect.
 */

const { message, stack } = require('../core/describe.js')
const { intercept } = require('../core/http-servers.js')
const { warn } = require('../core/logger.js')
// Loaded before the app's code, so that nothing of the app's async contexts is retained.
const { outside } = require('../core/outside-requests.js')

const EVENTS = ['listening', 'request', 'checkContinue']
const CODE = 'PLIMSOLL_CONFIG'
/** Set by `soak`, which measures the app without a record. */
const UNRECORDED = Symbol.for('plimsoll.unrecorded')

/** `join()` returns the functions of Plimsoll that the copies in this process share. */
function register(join) {
  if (process.env.PLIMSOLL === 'off') return
  /** Undefined before the start, null if Plimsoll is not in front. */
  let receive
  const stop = intercept(EVENTS, (server, args, emit) => {
    if (receive === undefined) receive = outside(() => start(join))
    if (receive === null) {
      stop()
      return Reflect.apply(emit, server, args)
    }
    return isRequest(server, args) ? receive(server, args, emit) : Reflect.apply(emit, server, args)
  })
}

/** False for what is emitted by hand with other values, and for an event that no code of the app handles. */
function isRequest(server, [event, req, res]) {
  if (event === 'listening' || typeof req !== 'object' || req === null || typeof res !== 'object' || res === null)
    return false
  return server.listenerCount(event) > 0 && !ownServers.has(server)
}

let ownServers = new WeakSet()

/** Null if the configuration is wrong, or Plimsoll fails: the app runs without it. */
function start(join) {
  if (globalThis[UNRECORDED] === true) return null
  try {
    return begin(join())
  } catch (error) {
    const { ConfigError } = require('./config.js')
    const text = error instanceof ConfigError ? error.message : stack(error)
    warn(null, `plimsoll: ${text}. The app runs without Plimsoll`, CODE)
    return null
  }
}

function begin(api) {
  const { read } = require('./config.js')
  const { front } = require('./front.js')
  // `limit()` starts nothing, so it can be called for a check.
  const checks = { tracker: api.plimsoll.settingsOf, limit: api.limit, shed: api.shed.settingsOf }
  const config = read(checks)
  const tracker = api.plimsoll(config.tracker)
  const guards = []
  if (config.metrics != null) guards.push(...metrics(api, config.metrics))
  if (config.shed != null) guards.push(api.shed(config.shed))
  if (config.limit != null) guards.push(api.limit(config.limit))
  return front(tracker, guards, failed)
}

function metrics(api, { path, port }) {
  const server = require('./metrics-server.js')
  ownServers = server.own
  if (path !== undefined) return [server.atPath(path, api.metrics(), api.route)]
  server.atPort(port, api.metrics(), text => warn(null, `plimsoll: ${text}`, CODE))
  return []
}

let reported = false
/** A guard has thrown, which is an internal error. */
function failed(error) {
  if (reported) return
  reported = true
  warn(null, `plimsoll: internal error in front of a server: ${message(error)}`, 'PLIMSOLL_FAULT')
}

module.exports = { register }
