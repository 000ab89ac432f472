'use strict'

/*
 * Random values that an app may throw, return or configure: nested, with getters, traps and conversions that throw or
 * return other values.
 */

const { inspect } = require('node:util')

const KEYS = [
  'name',
  'message',
  'stack',
  'code',
  'cause',
  'errors',
  'constructor',
  'toString',
  'valueOf',
  'then',
  'length',
  'size',
  'toJSON',
  '0',
  Symbol.toPrimitive,
  Symbol.toStringTag,
  Symbol.iterator,
  inspect.custom
]
const PIECES = [
  'a',
  '\n',
  '\n    at ',
  ' ',
  '(',
  '\u0000',
  '\ud800',
  '\u2028',
  '\u001b[31m',
  'at f (/app/x.js:1:1)',
  '%s'
]
const TRAPS = Object.getOwnPropertyNames(Reflect)

/** A value, with at most `depth` levels below it. */
function hostileValue(choices, depth = 3) {
  const { chance, pick } = choices
  if (depth === 0 || chance(0.3)) return primitive(choices)
  const value = pick(MAKERS)(choices, depth)
  if (chance(0.2)) deface(value, choices, depth)
  if (chance(0.1)) return proxyOf(value, choices, depth)
  return chance(0.05) ? Object.preventExtensions(value) : value
}

function primitive(choices) {
  const { below, next, pick } = choices
  return pick([
    () => undefined,
    () => null,
    () => Symbol(text(choices)),
    () => BigInt(below(2 ** 30)) ** BigInt(1 + below(300)),
    () => pick([0, -0, Number.NaN, Number.POSITIVE_INFINITY, next()]),
    () => next() < 0.5,
    () => text(choices)
  ])()
}

function text({ below, chance, pick }) {
  const line = Array.from({ length: below(8) }, () => pick(PIECES)).join('')
  return chance(0.05) ? line.repeat(20_000) : line
}

const MAKERS = [
  choices => new (choices.pick([Error, TypeError, RangeError, SyntaxError]))(text(choices)),
  (choices, depth) => new Error(text(choices), { cause: hostileValue(choices, depth - 1) }),
  (choices, depth) => new AggregateError(listOf(choices, depth), text(choices)),
  choices => new DOMException(text(choices), choices.pick(['AbortError', 'DataCloneError', text(choices)])),
  (choices, depth) => listOf(choices, depth),
  ({ below }) => new Array(below(2 ** 32)),
  (choices, depth) =>
    withKeys(choices.pick([{}, Object.create(null), Object.create({ inherited: 1 })]), choices, depth),
  ({ below }) => Object.fromEntries(Array.from({ length: below(100) }, (_, i) => [`key${i}`, i])),
  (choices, depth) => new Map([[hostileValue(choices, depth - 1), hostileValue(choices, depth - 1)]]),
  (choices, depth) => new Set(listOf(choices, depth)),
  ({ next }) => new Date(next() < 0.5 ? Number.NaN : 0),
  () => /a/g,
  ({ below }) => Buffer.alloc(below(1000)),
  () => function thrown() {},
  () => class Thrown {},
  () => Promise.resolve(1),
  () => new WeakMap(),
  () => Object(Symbol('boxed'))
]

function listOf(choices, depth) {
  return Array.from({ length: choices.below(5) }, () => hostileValue(choices, depth - 1))
}

function withKeys(object, choices, depth) {
  for (let i = choices.below(5); i > 0; i--) deface(object, choices, depth)
  if (choices.chance(0.1)) object.self = object
  return object
}

/** Adds a property to a value: a value, a function, or a getter. */
function deface(object, choices, depth) {
  const { chance, pick } = choices
  const value = hostileValue(choices, depth - 1)
  const answer = () => {
    if (chance(0.5)) throw value
    return value
  }
  const key = pick(KEYS)
  const enumerable = chance(0.5)
  const property = pick([{ value }, { value: answer }, { get: answer }])
  try {
    Reflect.defineProperty(object, key, { ...property, enumerable, configurable: true })
  } catch {
    // Some values are not valid there: an array's length, an element of a Buffer.
  }
}

function proxyOf(value, choices, depth) {
  const { chance, pick } = choices
  const { proxy, revoke } = Proxy.revocable(value, trapsOf(choices, depth))
  if (chance(0.2)) revoke()
  return pick([proxy, proxy, Object.create(null, { inner: { value: proxy, enumerable: true } })])
}

function trapsOf(choices, depth) {
  const { below, chance, pick } = choices
  const traps = {}
  for (let i = below(4); i > 0; i--) {
    const answer = hostileValue(choices, depth - 1)
    const fails = chance(0.5)
    traps[pick(TRAPS)] = () => {
      if (fails) throw answer
      return answer
    }
  }
  return traps
}

module.exports = { hostileValue }
