'use strict'

/*
 * The options of a process that runs with `plimsoll/register`: plimsoll.config.* beside the nearest package.json of the
 * working directory, and PLIMSOLL_OPTIONS, whose options replace those of the file one by one.
 */

const fs = require('node:fs')
const path = require('node:path')
const { message } = require('../core/describe.js')
const NAMES = require('../core/option-names.js')
const options = require('../core/options.js')
const { workingDirectory } = require('../core/working-directory.js')

/** In their order: the first one that exists is read. */
const FILES = ['js', 'mjs', 'cjs', 'json'].map(ending => `plimsoll.config.${ending}`)
const VARIABLE = 'PLIMSOLL_OPTIONS'
/** Options in addition to those of `plimsoll()`. */
const GUARDS = ['limit', 'shed', 'metrics']
const PORT_MAX = 65_535
const METRICS_TAKES = `false, a path like '/metrics', or { port } with a whole number from 1 to ${PORT_MAX}`

/** An error of the user. `where` is the file or the variable. */
class ConfigError extends Error {
  constructor(where, error) {
    super(`${where}: ${message(error).replace(/^plimsoll: /, '')}`)
  }
}

/**
 * `{ tracker, limit, shed, metrics }`. `tracker` are the options of `plimsoll()`, undefined if there are none. The
 * others are undefined or null if they are off. `metrics` is `{ path }` or `{ port }`. `checks` are functions by name of
 * an option: they throw for a wrong value.
 */
function read(checks, env = process.env) {
  const found = [fromFile(), fromVariable(env[VARIABLE])].filter(source => source !== null)
  const config = { __proto__: null, tracker: undefined, limit: undefined, shed: undefined, metrics: undefined }
  for (const { where, given } of found) {
    attempt(where, () => {
      const { limit, shed, metrics, ...tracker } = options.object('the configuration', given, [...NAMES, ...GUARDS])
      if (Object.keys(tracker).length > 0) {
        checks.tracker?.(tracker)
        config.tracker = { ...config.tracker, ...tracker }
      }
      if (limit !== undefined) config.limit = checked(limit, checks.limit)
      if (shed !== undefined) config.shed = checked(shed === true ? {} : shed, checks.shed)
      if (metrics !== undefined) config.metrics = metrics === false ? null : metricsOf(metrics)
    })
  }
  return config
}

function checked(value, check) {
  if (value === false) return null
  check?.(value)
  return value
}

function metricsOf(given) {
  if (typeof given === 'string' && /^\/[^?#\s]*$/.test(given)) return { path: given }
  if (!options.isObject(given)) options.fail('metrics', given, METRICS_TAKES)
  const { port } = options.object('metrics', given, ['port'])
  return { port: options.integer("metrics' port", port, 1, PORT_MAX) }
}

function fromVariable(text) {
  if (text === undefined || text.trim() === '') return null
  return { where: VARIABLE, given: attempt(VARIABLE, () => parse(text)) }
}

function fromFile() {
  const file = find(workingDirectory())
  return file === null ? null : { where: file, given: attempt(file, () => load(file)) }
}

/** Null if there is none. */
function find(from) {
  if (from === null) return null
  for (let folder = from; ; folder = path.dirname(folder)) {
    if (fs.existsSync(path.join(folder, 'package.json'))) {
      const name = FILES.find(name => fs.existsSync(path.join(folder, name)))
      return name === undefined ? null : path.join(folder, name)
    }
    if (folder === path.dirname(folder)) return null
  }
}

function load(file) {
  if (file.endsWith('.json')) return parse(fs.readFileSync(file, 'utf8'))
  let loaded
  try {
    loaded = require(file)
  } catch (error) {
    if (error?.code !== 'ERR_REQUIRE_ESM' && error?.code !== 'ERR_REQUIRE_ASYNC_MODULE') throw error
    const why = error.code === 'ERR_REQUIRE_ESM' ? `Node ${process.version} cannot load it` : 'it has a top-level await'
    throw new Error(`an ES module must load synchronously, and ${why}. Write plimsoll.config.cjs or .json instead`)
  }
  return loaded?.default ?? loaded
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`not JSON: ${message(error)}`)
  }
}

function attempt(where, work) {
  try {
    return work()
  } catch (error) {
    throw error instanceof ConfigError ? error : new ConfigError(where, error)
  }
}

module.exports = { read, ConfigError }
