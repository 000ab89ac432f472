'use strict'

/*
 * The options of `plimsoll.soak(app, options)`, checked when it is called.
 */

const { existsSync, statSync } = require('node:fs')
const { METHODS } = require('node:http')
const path = require('node:path')
const { fileURLToPath } = require('node:url')
const { inspect } = require('node:util')
const describe = require('../core/describe.js')
const options = require('../core/options.js')

const WHERE = 'soak(app, options)'
const KNOWN = [
  'routes',
  'har',
  'from',
  'max',
  'requests',
  'rounds',
  'warmup',
  'connections',
  'timeoutMs',
  'startMs',
  'settleMs',
  'evidence',
  'args',
  'execArgv',
  'env',
  'cwd',
  'node'
]
const ROUTE = ['route', 'path', 'body', 'headers', 'abort', 'status', 'pauseMs', 'hold', 'idle', 'requests']
/** The method of a route whose requests are WebSocket connections. */
const WEB_SOCKET = 'WS'
/** One day. */
const LONG_MS = 86_400_000
/** Fewer blocks show no trend. */
const MIN_ROUNDS = 16

/** The path of the app's module. */
function appOf(app, cwd) {
  const own = 'the path or file: URL of a module that exports an app, or of a script that starts one'
  if (typeof app === 'function' || (typeof app === 'object' && app !== null && !options.isUrl(app))) {
    const why =
      'The app runs in its own process, so that its memory is not mixed with the test runner’s. Give the path of the module that exports it'
    throw new TypeError(`plimsoll: ${WHERE}: app is ${own}; got ${kindOf(app)}. ${why}`)
  }
  let file = app
  const isUrl = options.isUrl(app)
  if (isUrl || (typeof app === 'string' && app.startsWith('file:'))) {
    try {
      file = fileURLToPath(app)
    } catch (error) {
      throw new TypeError(
        `plimsoll: ${WHERE}: app is ${own}; got ${inspect(isUrl ? app.href : app)} (${error.message})`
      )
    }
  }
  if (typeof file !== 'string' || file === '' || file.includes('\0')) options.fail(`${WHERE}: app`, app, own)
  return path.resolve(cwd, file)
}

function kindOf(app) {
  return typeof app === 'function' ? 'a function' : `an object (${classOf(app) || 'without a prototype'})`
}

function classOf(object) {
  return describe.text(describe.property(object, 'constructor'), 'name')
}

function settingsOf(given) {
  const set = options.object(WHERE, given, KNOWN)
  const at = name => `${WHERE}: ${name}`
  const whole = (name, min, max, fallback) =>
    set[name] === undefined ? fallback : options.integer(at(name), set[name], min, max)
  const settings = {
    routes: set.routes === undefined ? null : routesOf(set.routes),
    har: fileOf(at('har'), set.har),
    from: set.from === undefined ? null : options.string(at('from'), set.from, 4096),
    max: set.max === undefined ? null : maxOf(at('max'), set.max),
    requests: whole('requests', 10, 100_000, null),
    rounds: whole('rounds', MIN_ROUNDS, 1000, 60),
    warmup: whole('warmup', 1, 1_000_000, 500),
    connections: whole('connections', 1, 1000, 4),
    timeoutMs: whole('timeoutMs', 1, LONG_MS, 10_000),
    startMs: whole('startMs', 1, LONG_MS, 30_000),
    settleMs: whole('settleMs', 0, LONG_MS, 0),
    evidence: options.oneOf(at('evidence'), set.evidence ?? true, [true, false]),
    args: stringsOf(at('args'), set.args),
    execArgv: stringsOf(at('execArgv'), set.execArgv),
    env: envOf(at('env'), set.env),
    cwd: set.cwd === undefined ? process.cwd() : path.resolve(options.string(at('cwd'), set.cwd, 4096)),
    node: set.node === undefined ? process.execPath : options.string(at('node'), set.node, 4096)
  }
  const sources = ['routes', 'har', 'from'].filter(name => settings[name] !== null)
  if (sources.length > 1)
    throw new TypeError(
      `plimsoll: ${WHERE} takes its routes from one of routes, har and from; got ${sources.join(' and ')}`
    )
  if (!isFolder(settings.cwd)) options.fail(at('cwd'), settings.cwd, 'a folder that exists')
  return settings
}

function maxOf(where, value) {
  const bytes = options.size(where, value)
  return bytes > 0 ? bytes : options.fail(where, value, 'more than 0 bytes per request')
}

function fileOf(where, value) {
  if (value === undefined) return null
  const file = options.string(where, value, 4096)
  return existsSync(file) ? file : options.fail(where, value, 'the path of a file that exists')
}

function isFolder(file) {
  try {
    return statSync(file).isDirectory()
  } catch {
    return false
  }
}

/** Valid as an argument or in the environment. */
function isWord(value) {
  return typeof value === 'string' && !value.includes('\0')
}

function stringsOf(where, value = []) {
  const fine = Array.isArray(value) && value.every(isWord)
  return fine ? value : options.fail(where, value, 'an array of strings')
}

function envOf(where, value = {}) {
  const fine = options.isObject(value) && Object.entries(value).flat().every(isWord)
  return fine ? value : options.fail(where, value, 'an object of strings')
}

function routesOf(given, where = `${WHERE}: routes`) {
  if (!Array.isArray(given) || given.length === 0)
    options.fail(where, given, "an array of routes, 'GET /users/:id' or { route, path, body, headers, abort, status }")
  const routes = given.map((each, i) => routeOf(`${where}[${i}]`, each))
  const driven = routes.filter(route => route.hold + route.idle === 0)
  if (driven.length === 0) options.fail(where, given, 'at least one route without hold and idle')
  const twice = driven.find((route, i) => driven.findIndex(other => other.route === route.route) !== i)
  if (twice) options.fail(where, twice.route, 'each route once')
  return routes
}

function routeOf(where, given) {
  const set = typeof given === 'string' ? { route: given } : options.object(where, given ?? null, ROUTE)
  const { route, path: own, body, headers, abort = false, status, pauseMs = 0, hold = 0, idle = 0, requests } = set
  const [, method, pattern] = (typeof route === 'string' && /^([A-Z-]+) (\/\S*)$/.exec(route)) || []
  if (![...METHODS, WEB_SOCKET].includes(method))
    options.fail(`${where}.route`, route, "a method and a path, as 'GET /users/:id' or 'WS /feed'")
  return {
    route,
    method,
    path: pathOf(`${where}.path`, own, pattern, route),
    body: bodyOf(`${where}.body`, body),
    headers: headersOf(`${where}.headers`, headers),
    abort: options.oneOf(`${where}.abort`, abort, [true, false, 'upload']),
    status: status === undefined ? null : statusesOf(`${where}.status`, status),
    pauseMs: options.integer(`${where}.pauseMs`, pauseMs, 0, LONG_MS),
    hold: options.integer(`${where}.hold`, hold, 0, 10_000),
    idle: options.integer(`${where}.idle`, idle, 0, 10_000),
    requests: requests === undefined ? null : options.integer(`${where}.requests`, requests, 10, 100_000)
  }
}

/** Returns a function that maps a request's number to its path. */
function pathOf(where, own, pattern, route) {
  if (typeof own === 'function') {
    return number => {
      const path = own(number)
      if (typeof path === 'string' && path.startsWith('/') && !/\s/.test(path)) return path
      return options.fail(`${where}(${number})`, path, 'a function that returns a path, as /users/7')
    }
  }
  const text = own ?? pattern
  if (typeof text !== 'string' || !/^\/\S*$/.test(text))
    options.fail(
      where,
      own,
      "a path, as '/users/7' or '/users/{1..100}', or a function that returns one for the number of a request"
    )
  const [before, query] = text.split(/(?=\?)/, 2)
  if (/[*()[\]]/.test(before))
    options.fail(where, text, `a path to send: the pattern ${route} cannot be filled. Set the option path`)
  return number =>
    before.replace(/\/:\w+|-:\w+|\.:\w+/g, found => `${found[0]}${number}`).replace(RANGE, range(number)) +
    (query ?? '').replace(RANGE, range(number))
}

/** `{1..100}`: numbers in order, and again from the first. */
const RANGE = /\{(\d{1,9})\.\.(\d{1,9})\}/g
const range = number => (_, from, to) => {
  const [first, last] = [Number(from), Math.max(Number(from), Number(to))]
  return String(first + (number % (last - first + 1)))
}

function bodyOf(where, body) {
  const fine =
    body === undefined ||
    ['string', 'function'].includes(typeof body) ||
    Buffer.isBuffer(body) ||
    Array.isArray(body) ||
    options.isObject(body)
  return fine
    ? body
    : options.fail(
        where,
        body,
        'a string, a Buffer, a JSON value, or a function that returns one for the number of a request'
      )
}

function headersOf(where, headers = {}) {
  if (typeof headers === 'function') return headers
  const fine = options.isObject(headers) && Object.values(headers).every(value => typeof value === 'string')
  return fine
    ? headers
    : options.fail(where, headers, 'an object of strings, or a function that returns one for the number of a request')
}

function statusesOf(where, status) {
  const all = [status].flat()
  const fine = all.length > 0 && all.every(each => Number.isInteger(each) && each >= 200 && each <= 599)
  return fine ? all : options.fail(where, status, 'a status from 200 to 599, or an array of some')
}

module.exports = { appOf, settingsOf, routesOf, MIN_ROUNDS, WEB_SOCKET }
