'use strict'

/*
 * Formats any value as text. A thrown value, an option or the result of a hook may be a Symbol, a null-prototype
 * object, a Proxy or an object whose getters throw. Nothing here throws, and no result is longer than stated. The time
 * is linear in the text that is read.
 */

const { inspect } = require('node:util')
const { isMap, isNativeError, isProxy, isSet } = require('node:util/types')

/** Characters of a stack or message that are read. */
const READ_CHARS = 8192
const WORD_CHARS = 64
const SHOWN_CHARS = 200
const KEYS = 20
/** The beginning of a frame in stacks of V8, and of tools that rewrite them. */
const FRAME = '\n    at '
/** `customInspect` is off: a function of the app could return anything. */
const LINE = {
  compact: true,
  breakLength: Number.POSITIVE_INFINITY,
  customInspect: false,
  depth: 0,
  maxStringLength: 60,
  maxArrayLength: 3
}
/** Prototypes that are followed. */
const PROTOTYPES = 20
const UNREADABLE = 'a value that cannot be read'

/** A property; undefined if it cannot be read. */
function property(value, key) {
  try {
    return value?.[key]
  } catch {
    return undefined
  }
}

/** A string or number property as text of at most `chars` characters; '' for anything else. */
function text(value, key, chars = READ_CHARS) {
  const found = property(value, key)
  return typeof found === 'string' || typeof found === 'number' ? String(found).slice(0, chars) : ''
}

/**
 * `TypeError ERR_INVALID_ARG_TYPE`: the name and code of a thrown value, without its message, which may contain a
 * user's data.
 */
function kind(thrown) {
  const name = text(thrown, 'name', WORD_CHARS) || typeName(thrown)
  const code = text(thrown, 'code', WORD_CHARS)
  return code === '' ? name : `${name} ${code}`
}

/** The first frame of a stack, at most 200 characters. '' if there is none. */
function frame(thrown) {
  const stack = text(thrown, 'stack')
  const at = stack.indexOf(FRAME)
  if (at === -1) return ''
  const begin = at + FRAME.length
  const end = stack.indexOf('\n', begin)
  return stack.slice(begin, end === -1 ? undefined : end).slice(0, SHOWN_CHARS)
}

/** The message of a thrown value, or the value itself if it has none. */
function message(thrown) {
  return text(thrown, 'message') || shown(thrown)
}

/** The stack of a thrown value, otherwise its message. */
function stack(thrown) {
  return text(thrown, 'stack') || message(thrown)
}

/** A value on one line of at most 200 characters. */
function shown(value) {
  try {
    if (isNativeError(value)) return cut(`${kind(value)}: ${text(value, 'message', WORD_CHARS)}`)
    if (!endsSoon(value)) return 'an object with a Proxy, or many prototypes'
    // `inspect` iterates over them with their own Symbol.iterator, which may never end.
    if (isMap(value)) return `Map(${sizeOfMap.call(value)})`
    if (isSet(value)) return `Set(${sizeOfSet.call(value)})`
    if (Buffer.isBuffer(value)) return cut(`a Buffer of ${value.byteLength} bytes`)
    if (typeof value === 'object' && !Array.isArray(value) && hasManyKeys(value))
      return `an object with more than ${KEYS} keys`
    return cut(inspect(value, LINE))
  } catch {
    return UNREADABLE
  }
}

const sizeOfMap = Object.getOwnPropertyDescriptor(Map.prototype, 'size').get
const sizeOfSet = Object.getOwnPropertyDescriptor(Set.prototype, 'size').get

/** Whether the chain of prototypes ends and contains no Proxy, whose chain may not end. */
function endsSoon(value) {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return true
  let each = value
  for (let level = 0; level < PROTOTYPES && !isProxy(each); level++) {
    each = Object.getPrototypeOf(each)
    if (each === null) return true
  }
  return false
}

function hasManyKeys(object) {
  let keys = 0
  for (const _key in object) if (++keys > KEYS) return true
  return false
}

function cut(given) {
  const line = given.slice(0, SHOWN_CHARS + 1).replaceAll('\n', ' ')
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS)}\u2026` : line
}

function typeName(value) {
  return value === null ? 'null' : typeof value
}

module.exports = { property, text, kind, frame, message, stack, shown }
