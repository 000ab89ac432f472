'use strict'

/*
 * Options are checked when a factory is called. A wrong one throws a TypeError that names the option, its value and the
 * valid values. The package `bytes`, which Express uses, parses '10m' as ten bytes. Here only the listed forms are
 * valid.
 */

const { inspect } = require('node:util')
const { isAsyncFunction } = require('node:util/types')
const { property, shown } = require('./describe.js')

const UNITS = {
  b: 1,
  kb: 2 ** 10,
  mb: 2 ** 20,
  gb: 2 ** 30,
  tb: 2 ** 40,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40
}
/** Kubernetes' `500M` is rejected: it means 500,000,000 bytes, and users would expect it to be more than `500mb`. */
const SIZE = /^(\d+(?:\.\d+)?) ?(b|kb|mb|gb|tb|ki|mi|gi|ti)$/i
const SIZE_TAKES =
  "a whole number of bytes from 0, or a string like '512b', '100kb', '1.5mb', '2gb', '1tb', '512Mi' (1 kb and 1 Ki are 1,024 bytes)"

function fail(where, value, takes) {
  throw new TypeError(`plimsoll: ${where} takes ${takes}; got ${shown(value)}`)
}

/** A size in bytes. */
function size(where, value, takes = SIZE_TAKES) {
  if (Number.isSafeInteger(value) && value >= 0) return value
  const match = typeof value === 'string' ? SIZE.exec(value) : null
  const bytes = match ? Math.floor(Number(match[1]) * UNITS[match[2].toLowerCase()]) : Number.NaN
  return Number.isSafeInteger(bytes) ? bytes : fail(where, value, takes)
}

function integer(where, value, min, max) {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  return fail(where, value, `a whole number from ${min} to ${max}`)
}

function string(where, value, max) {
  const bytes = typeof value === 'string' ? Buffer.byteLength(value) : 0
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (bytes > 0 && bytes <= max && !/[\u0000-\u001f\u007f]/.test(value)) return value
  return fail(where, value, `a string of 1 to ${max} bytes without control characters`)
}

function oneOf(where, value, choices) {
  return choices.includes(value) ? value : fail(where, value, choices.map(choice => inspect(choice)).join(' or '))
}

/** False for arrays, maps and promises (a forgotten `await`): they would have none of the options. */
function isObject(value) {
  try {
    return Object.prototype.toString.call(value) === '[object Object]'
  } catch {
    return false
  }
}

/** Recognises URLs of any global: jsdom and `vm` contexts have URL classes of their own. */
function isUrl(value) {
  return typeof property(value, 'href') === 'string' && typeof property(value, 'protocol') === 'string'
}

/**
 * Copies an object that has no keys but `known`. Undefined becomes an empty object. The copy has no prototype, so that
 * options on `Object.prototype` are not read.
 */
function object(where, value, known) {
  if (value === undefined) return { __proto__: null }
  if (!isObject(value)) fail(where, value, `an object with ${known.join(', ')}`)
  const own = { __proto__: null, ...value }
  for (const key of Object.keys(own)) {
    if (!known.includes(key)) {
      const got = `${inspect(key)} (got ${shown(own[key])})`
      throw new TypeError(`plimsoll: ${where} has no option ${got}; it takes ${known.join(', ')}`)
    }
  }
  return own
}

/** A function whose result is needed synchronously. */
function synchronous(where, value) {
  return isAsyncFunction(value)
    ? fail(where, value, 'a function that returns its result synchronously, not a promise')
    : value
}

/** Checks that there are no arguments, which would be ignored. */
function none(where, given) {
  const value = given.find(value => value !== undefined)
  if (value !== undefined) fail(where, value, 'no arguments')
}

function logger(where, value) {
  if (['info', 'warn', 'error'].every(level => typeof value?.[level] === 'function')) return value
  return fail(where, value, 'an object with the functions info, warn and error (console, pino, winston)')
}

module.exports = { SIZE_TAKES, fail, size, integer, string, oneOf, isObject, isUrl, object, synchronous, none, logger }
