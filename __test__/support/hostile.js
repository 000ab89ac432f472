'use strict'

/** Values that an app may throw or return, each made anew: `[what, make]`. */
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
  ['an object that contains itself', circular]
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

function circular() {
  const value = {}
  value.self = value
  return value
}

module.exports = { hostile }
