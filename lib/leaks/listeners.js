'use strict'

/*
 * Listeners that requests add to long-lived objects and do not remove: `process`, the server, keep-alive sockets,
 * AbortSignals, and what the user names.
 *
 * Emitters report added and removed listeners (`newListener`, `removeListener`). Event targets do not, so the two
 * methods of AbortSignal are wrapped. Data about a listener is attached to it weakly. The call site that added it is
 * read from the stack at the end of the request, for remaining listeners only.
 */

const { EventEmitter } = require('node:events')
const net = require('node:net')
const { passive } = require('../core/addon.js')
const origins = require('../core/call-site.js')
const describe = require('../core/describe.js')
const { LIB } = require('../core/folders.js')
const { originOf, placeOfCode } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const { warn } = require('../core/logger.js')
const options = require('../core/options.js')
const runtime = require('../recorder/recorder.js')
const { Tallies } = require('./growth-tally.js')
const owners = require('./request-owner.js')

const ENOUGH = 60
const NAME_CHARS = 64
/**
 * Listeners from one call site that may stay without being counted, by socket and by signal. An app that marks each
 * connection leaves one on each socket. On a signal that belongs to a request, listeners die with it.
 */
const SPARE_SOCKET = 1
const SPARE_SIGNAL = 10
/** Call sites that the addition to one of Node's warnings names. */
const NAMED = 4

const tallies = new Tallies('listener', ENOUGH, ({ open, detail }) => ({
  severity: 'warning',
  what: `listeners of ${detail} that ended requests added`,
  advice:
    `listeners of ${detail} grow with requests: requests that have ended added ${open}. ` +
    'Remove each at the end of its request: req.scope.defer(() => emitter.off(event, listener))'
}))
/** Watched object -> its Watch. */
const watches = new WeakMap()
const finished = new FinalizationRegistry(watch => watch.forget())
let started = false

/** Watches `process`, servers, their sockets, AbortSignals, and `emitters`: one, an array, or an object by name. */
function watchListeners(emitters) {
  const watched = named(emitters)
  if (passive) return
  for (const [name, emitter] of watched) {
    if (emitter instanceof EventEmitter || has(emitter, 'on', 'off', 'emit')) watchEmitter(emitter, name, 0)
    else if (!(emitter instanceof AbortSignal)) watchTarget(emitter, name)
  }
  if (started) return
  started = true
  owners.start()
  watchEmitter(process, 'process', 0)
  watchSignals()
  owners.onRequestStart(({ state }) => watchConnection(state.connection.socket))
  process.on('warning', join)
}

function named(given) {
  if (given === undefined) return []
  const several = Array.isArray(given) ? given.map(each => [nameOf(each), each]) : byName(given)
  for (const [, each] of several) {
    if (has(each, 'on', 'off', 'emit') || has(each, 'addEventListener', 'removeEventListener')) continue
    options.fail(
      'watchListeners()',
      each,
      'an EventEmitter or EventTarget, an array of these, or an object of these by name'
    )
  }
  return several
}

function byName(given) {
  if (has(given, 'on') || has(given, 'addEventListener') || !options.isObject(given)) return [[nameOf(given), given]]
  return Object.entries(given)
}

const has = (object, ...methods) => methods.every(method => typeof object?.[method] === 'function')

function nameOf(emitter) {
  return emitter === process
    ? 'process'
    : describe.text(describe.property(emitter, 'constructor'), 'name', NAME_CHARS) || 'an emitter'
}

/** Watches a connection's socket and its server, at the first request. */
function watchConnection(socket) {
  if (!(socket instanceof net.Socket) || watches.has(socket)) return
  const watch = watchEmitter(socket, 'the socket', SPARE_SOCKET)
  socket.on('close', () => watch.forget())
  if (socket.server instanceof EventEmitter) watchEmitter(socket.server, 'the server', 0)
}

/** One emitter or event target: which listeners were added, and where. */
class Watch {
  constructor(name, spare) {
    this.name = name
    this.spare = spare
    /** Listener -> its Listenings, one for each time that it was added. */
    this.known = new WeakMap()
    /** Event -> its present Listenings, for Node's warning. */
    this.there = new Map()
    /** Tally -> number of listeners here. Those beyond `spare` count. */
    this.left = new Map()
  }

  added(event, listener) {
    const owner = owners.current()
    // Sockets and signals are many. A listener that was added outside of a request is not counted.
    if (owner === undefined && this.spare > 0) return
    if (isInternal(listener)) return
    const listening = new Listening(this, event, origins.take(this.added))
    const known = this.known.get(listener)
    if (known === undefined) this.known.set(listener, [listening])
    else known.push(listening)
    const there = this.there.get(event)
    if (there === undefined) this.there.set(event, new Set([listening]))
    else there.add(listening)
    if (owner === undefined) listening.place()
    else owner.hold(listening)
  }

  removed(event, listener) {
    const known = this.known.get(listener)
    const at = known === undefined ? -1 : known.findLastIndex(listening => listening.event === event)
    if (at === -1) return
    const [listening] = known.splice(at, 1)
    const there = this.there.get(event)
    there?.delete(listening)
    // An event name can be unique to a request.
    if (there?.size === 0) this.there.delete(event)
    listening.end()
  }

  has(event, listener) {
    return this.known.get(listener)?.some(listening => listening.event === event) === true
  }

  leave(tally) {
    const left = (this.left.get(tally) ?? 0) + 1
    this.left.set(tally, left)
    if (left > this.spare) tally.more()
  }

  take(tally) {
    const left = this.left.get(tally)
    if (left === undefined) return
    if (left > this.spare) tally.less()
    if (left === 1) this.left.delete(tally)
    else this.left.set(tally, left - 1)
  }

  /** The object is gone, with its listeners. */
  forget() {
    for (const [tally, left] of this.left) if (left > this.spare) tally.less(left - this.spare)
    this.left.clear()
    this.there.clear()
  }
}

/** One listener, from being added until being removed. */
class Listening {
  constructor(watch, event, trace) {
    this.watch = watch
    this.event = event
    this.trace = trace
    this.origin = null
    this.tally = null
    this.done = false
  }

  outlives(owner) {
    this.place(owner.handler)
    this.tally = tallies.of(owner.title, this.origin, `'${String(this.event)}' on ${this.watch.name}`)
    if (this.tally !== null) this.watch.leave(this.tally)
  }

  place(handler = null) {
    if (this.trace === null) return
    this.origin = placeOfCode(this.trace, handler)
    this.trace = null
  }

  end() {
    this.done = true
    this.trace = null
    if (this.tally !== null) this.watch.take(this.tally)
    this.tally = null
  }
}

/** Node's own listeners, which Node removes, and Plimsoll's. */
function isInternal(listener) {
  if (typeof listener !== 'function') return false
  const script = originOf(listener)?.script
  return script !== undefined && (script.startsWith('node:') || script.startsWith(LIB))
}

function watchEmitter(emitter, name, spare) {
  const known = watches.get(emitter)
  if (known !== undefined) return known
  const watch = new Watch(name, spare)
  watches.set(emitter, watch)
  emitter.on('newListener', (event, listener) => {
    if (event !== 'newListener' && event !== 'removeListener') guarded(() => watch.added(event, listener))
  })
  emitter.on('removeListener', (event, listener) => guarded(() => watch.removed(event, listener)))
  return watch
}

/** Watches one event target, by name. */
function watchTarget(target, name) {
  if (watches.has(target)) return
  watches.set(target, new Watch(name, 0))
  wrapTarget(target, target => watches.get(target))
}

/** Watches all signals. Those that collect listeners turn out to be long-lived. */
function watchSignals() {
  wrapTarget(AbortSignal.prototype, signal => {
    if (signal.aborted) return undefined
    let watch = watches.get(signal)
    if (watch === undefined && owners.current() !== undefined) {
      watch = new Watch('an AbortSignal', SPARE_SIGNAL)
      watches.set(signal, watch)
      finished.register(signal, watch)
    }
    return watch
  })
}

function wrapTarget(object, watchOf) {
  const { addEventListener, removeEventListener } = object
  const wrapped = {
    addEventListener(type, listener, ...rest) {
      guarded(() => {
        const watch = isListener(listener) ? watchOf(this) : undefined
        // Adding a listener twice has no effect.
        if (watch !== undefined && !watch.has(type, listener)) watch.added(type, listener)
      })
      return Reflect.apply(addEventListener, this, [type, listener, ...rest])
    },
    removeEventListener(type, listener, ...rest) {
      if (isListener(listener)) guarded(() => watches.get(this)?.removed(type, listener))
      return Reflect.apply(removeEventListener, this, [type, listener, ...rest])
    }
  }
  for (const [name, value] of Object.entries(wrapped))
    Object.defineProperty(object, name, { value, configurable: true, writable: true, enumerable: false })
}

function isListener(value) {
  return typeof value === 'function' || (typeof value === 'object' && value !== null)
}

function guarded(work) {
  try {
    work()
  } catch (error) {
    internalErrors.report('when a listener was checked', error)
  }
}

/** Node's warning shows only the call site of the eleventh listener. This adds the call sites of all. */
function join(warning) {
  if (warning?.name !== 'MaxListenersExceededWarning') return
  guarded(() => {
    const there = watches.get(warning.emitter ?? warning.target)?.there.get(warning.type)
    if (there === undefined || there.size === 0) return
    const places = new Map()
    for (const listening of there) {
      listening.place()
      places.set(listening.origin, (places.get(listening.origin) ?? 0) + 1)
    }
    const ranked = [...places].sort((a, b) => b[1] - a[1])
    const shown = ranked.slice(0, NAMED).map(([place, number]) => `${number} at ${place ?? '(unknown)'}`)
    const { name } = watches.get(warning.emitter ?? warning.target)
    const what = `'${String(warning.type)}' on ${name}: ${shown.join(', ')}${ranked.length > NAMED ? ', …' : ''}`
    const behind = [...there].find(({ origin, tally }) => tally !== null && origin === ranked[0][0])
    if (behind !== undefined) {
      const advice = `the emitter has more listeners than its limit. Remove each at the end of its request. ${what}`
      behind.tally.report({ severity: 'warning', advice })
    } else {
      warn(runtime.state.settings?.log, `plimsoll: call sites of the listeners of ${what}`, 'PLIMSOLL_LISTENERS')
    }
  })
}

module.exports = watchListeners
