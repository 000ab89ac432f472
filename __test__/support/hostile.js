'use strict'

const { inspect } = require('node:util')

/** Values that an app may throw or return, each created anew: `[what, make]`. */
const hostile = [
  ['undefined', () => undefined],
  ['null', () => null],
  ['a Symbol', () => Symbol('thrown')],
  ['a bigint', () => 5n],
  ['a function', () => () => {}],
  ['an object without a prototype', () => Object.create(null)],
  ['an error with a Symbol for its name', () => Object.assign(new Error('a'), { name: Symbol('n') })],
  ['an error with an object without a prototype for its code', () => withCode(Object.create(null))],
  ['an error with a Symbol for its code', () => withCode(Symbol('s'))],
  ['an error with a number for its stack', () => Object.assign(new Error('d'), { stack: 5 })],
  ['an error with an object for its stack', () => Object.assign(new Error('e'), { stack: Object.create(null) })],
  ['an error whose getters throw', () => throwing(new Error('f'), ['stack', 'name', 'message', 'code'])],
  ['an object whose toString and tag throw', () => throwing({}, ['toString', Symbol.toStringTag, 'constructor'])],
  ['a Proxy that traps all', trap],
  ['a revoked Proxy', revoked],
  ['an error with a megabyte of line breaks', () => new Error(`bad input: ${'\n'.repeat(2 ** 20)}x`)],
  ['an error with a megabyte of frames', () => Object.assign(new Error('g'), { stack: '\n    at '.repeat(2 ** 17) })],
  ['an object of many keys', () => Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`key${i}`, i]))],
  ['an object that contains itself', circular],
  ['a Map that never ends', () => endless(new Map())],
  ['a Set that never ends', () => endless(new Set())],
  ['a Proxy of a Map that never ends', () => new Proxy(endless(new Map()), {})],
  ['an object that shows itself as a Map that never ends', () => ({ [inspect.custom]: () => endless(new Map()) })],
  ['an object whose prototypes never end', () => Object.create(prototypes())],
  ['a Proxy whose prototypes never end', prototypes],
  [
    'a Buffer with a megabyte for its length',
    () => Object.defineProperty(Buffer.alloc(1), 'byteLength', { value: 'x'.repeat(2 ** 20) })
  ]
]

function withCode(code) {
  return Object.assign(new Error('with a code'), { code })
}

function throwing(object, keys) {
  const get = () => {
    throw new Error('a getter that throws')
  }
  for (const key of keys) Object.defineProperty(object, key, { get, configurable: true })
  return object
}

function trap() {
  const fail = () => {
    throw new Error('a trap')
  }
  const traps = Object.getOwnPropertyNames(Reflect).map(name => [name, fail])
  return new Proxy({}, Object.fromEntries(traps))
}

function revoked() {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

/** Its size is not a number, and its iterator never ends, so util.inspect would not end either. */
function endless(collection) {
  const next = () => ({ value: ['key', 'value'] })
  return Object.defineProperties(collection, {
    size: { value: Number.NaN },
    [Symbol.iterator]: { value: () => ({ next }) }
  })
}

/** Each prototype has another one. */
function prototypes() {
  return new Proxy({}, { getPrototypeOf: prototypes })
}

function circular() {
  const value = {}
  value.self = value
  return value
}

module.exports = { hostile }
