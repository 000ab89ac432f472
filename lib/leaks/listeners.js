'use strict'

/*
 * Listeners that requests add to what outlives them, and leave there: on `process`, the server, keep-alive sockets, AbortSignals, and
 * what the user names.
 *
 * Emitters say themselves who comes and goes (`newListener`, `removeListener`); event targets do not, so AbortSignal's two methods
 * are wrapped. What is known of a listener hangs on it weakly. Where in the code it was added is read from the stack at the end of
 * the request, only of those that are still there.
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
const { find } = require('../recorder/findings.js')
const runtime = require('../recorder/recorder.js')
const { Tallies } = require('./growth-tally.js')
const owners = require('./request-owner.js')

const ENOUGH = 60
const NAME_CHARS = 64
/**
 * On one socket, of one place, as many may stay without being counted: who marks each connection once leaves one, and there are as
 * many as there are connections. On a signal: a request's own die with it, uncounted.
 */
const SPARE_SOCKET = 1
const SPARE_SIGNAL = 10
/** Places that are named for one warning of Node's. */
const NAMED = 4

const tallies = new Tallies('listener', ENOUGH, ({ open, detail }) => ({
  severity: 'warning',
  advice:
    `listeners of ${detail} grow with requests: requests that have ended added ${open}. ` +
    'Remove each at the end of its request: req.scope.defer(() => emitter.off(event, listener))'
}))
/** What is watched -> its Watch. */
const watches = new WeakMap()
const finished = new FinalizationRegistry(watch => watch.forget())
let started = false

/** Watches `process`, servers, their sockets, AbortSignals, and `emitters`: one, several, or by name. */
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

/** A connection's socket, and the server that it came to, when its first request comes. */
function watchConnection(socket) {
  if (!(socket instanceof net.Socket) || watches.has(socket)) return
  const watch = watchEmitter(socket, 'the socket', SPARE_SOCKET)
  socket.on('close', () => watch.forget())
  if (socket.server instanceof EventEmitter) watchEmitter(socket.server, 'the server', 0)
}

/** Of one emitter or event target: which listeners were added, where. */
class Watch {
  constructor(name, spare) {
    this.name = name
    this.spare = spare
    /** Listener -> its Listenings, one for each time that it was added. */
    this.known = new WeakMap()
    /** Event -> what is there of it, for Node's warning. */
    this.there = new Map()
    /** Tally -> what there is of it here: behind the spare ones they count. */
    this.left = new Map()
  }

  added(event, listener) {
    const owner = owners.current()
    // Of sockets and signals there are many: what is added outside of requests is not theirs.
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
    // Events may have names of their own for each request.
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

  /** It is gone, and its listeners with it. */
  forget() {
    for (const [tally, left] of this.left) if (left > this.spare) tally.less(left - this.spare)
    this.left.clear()
    this.there.clear()
  }
}

/** One listener, from when it is added until it is removed. */
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

/** Node's own, which it removes itself, and plimsoll's. */
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

/** One event target, by name. */
function watchTarget(target, name) {
  if (watches.has(target)) return
  watches.set(target, new Watch(name, 0))
  wrapTarget(target, target => watches.get(target))
}

/** All signals: which of them are long-lived is seen by what gathers on them. */
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
        // One that is there already is not added.
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

/** Node's warning tells where the eleventh was added: here is where all were. */
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
      const { title, origin } = behind.tally
      find({ kind: 'listener', route: title, origin: origin ?? undefined, severity: 'warning', advice })
    } else {
      warn(runtime.state.settings?.log, `plimsoll: call sites of the listeners of ${what}`, 'PLIMSOLL_LISTENERS')
    }
  })
}

module.exports = watchListeners
