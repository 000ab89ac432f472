'use strict'

/*
 * Estimates from below how many bytes an object retains, in bounded time. Large collections are sampled. Not counted
 * are emitters, streams, functions, and what other requests refer to as well. Getters are not called.
 */

const { EventEmitter } = require('node:events')
const { performance } = require('node:perf_hooks')
const { isAnyArrayBuffer, isMap, isProxy, isSet } = require('node:util/types')

const NODES = 2000
const TIME_MS = 0.3
/** Elements of a collection that are sampled. */
const ELEMENTS = 32
/** Bytes from which on an object is remembered, to detect that requests share it. */
const LARGE = 16_384
const OBJECT = 24
const SLOT = 8
const ENTRY = 32

/** Large objects that were counted before: a cache on each request belongs to none of them. */
const shared = new WeakSet()

/** `seen`: what was already counted in this request. */
function sizeOf(value, seen) {
  const deadline = performance.now() + TIME_MS
  const stack = [[value, 1]]
  let bytes = 0
  for (let nodes = 0; stack.length > 0 && nodes < NODES; nodes++) {
    if ((nodes & 63) === 63 && performance.now() > deadline) break
    const [each, weight] = stack.pop()
    bytes += weight * ownBytes(each, weight, seen, stack)
  }
  return bytes
}

/** Size of one value. What it refers to goes onto the stack. */
function ownBytes(value, weight, seen, stack) {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null || seen.has(value)) return 0
  seen.add(value)
  if (isProxy(value) || value instanceof EventEmitter) return 0
  const own = shallow(value)
  if (own >= LARGE) {
    if (shared.has(value)) return 0
    shared.add(value)
  }
  elements(value, weight, stack)
  return own
}

function shallow(value) {
  if (ArrayBuffer.isView(value) || isAnyArrayBuffer(value)) return value.byteLength
  if (Array.isArray(value)) return OBJECT + SLOT * value.length
  if (isMap(value) || isSet(value)) return OBJECT + ENTRY * value.size
  return OBJECT + SLOT * Object.keys(value).length
}

function elements(value, weight, stack) {
  if (ArrayBuffer.isView(value) || isAnyArrayBuffer(value)) return
  if (Array.isArray(value)) {
    const step = Math.max(1, value.length / ELEMENTS)
    for (let at = 0; at < value.length; at += step) put(stack, value[Math.floor(at)], weight * step)
  } else if (isMap(value) || isSet(value)) {
    let left = ELEMENTS
    const share = weight * Math.max(1, value.size / ELEMENTS)
    for (const [key, each] of value.entries()) {
      put(stack, key, share)
      if (each !== key) put(stack, each, share)
      if (--left === 0) break
    }
  } else {
    const keys = Object.keys(value)
    const step = Math.max(1, keys.length / ELEMENTS)
    for (let at = 0; at < keys.length; at += step) {
      put(stack, Object.getOwnPropertyDescriptor(value, keys[Math.floor(at)])?.value, weight * step)
    }
  }
}

function put(stack, value, weight) {
  if (typeof value === 'string' || (typeof value === 'object' && value !== null)) stack.push([value, weight])
}

module.exports = { sizeOf }
