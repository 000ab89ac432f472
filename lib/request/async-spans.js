'use strict'

/*
 * Asynchronous spans: what the promises, timers, streams and callbacks of a request allocate is charged to it as well.
 *
 * The chain of a request runs with its owner, a number, in an AsyncLocalStorage. Hooks before and after each callback
 * read it, and open and close a span. It is a number because an async context may live as long as the process (that of
 * a pool's connection, for example) and must not retain a request. It encodes the slot with its generation, so that an
 * ended request owns nothing, and the layer, if layers are metered.
 *
 * This has a cost for each promise and callback, so by default it is on in windows only (src/ledger/sampling.rs).
 *
 * Data that arrives on a socket runs in the context that opened the socket. With pooled connections that is another
 * request's. So it is charged to the owner that wrote to the socket last, and runs in its context. If two owners write
 * before data arrives, it is charged to none.
 */

const { AsyncLocalStorage, createHook } = require('node:async_hooks')
const net = require('node:net')
const { native } = require('../core/addon.js')
const internalErrors = require('../core/internal-errors.js')
const pools = require('./pool-callbacks.js')

const WRITER = Symbol('plimsoll.writer')
const NO_OWNER = 0

/** Whether asynchronous spans are metered now. */
const state = { open: false }
const storage = new AsyncLocalStorage()
let hook = null
/** Number of the window. Data about a socket is valid in one window only. */
let generation = 0

/** The running callbacks that have a span: their async ids, and the depths of their spans. */
const ids = []
const depths = []

function before(asyncId) {
  const owner = storage.getStore()
  if (owner === undefined) return
  try {
    depths.push(native.spanOpen(owner))
    ids.push(asyncId)
  } catch (error) {
    failed(error)
  }
}

function after(asyncId) {
  if (ids.length === 0) return
  // A callback that threw may have no `after`. It ends with the one around it.
  const at = ids.lastIndexOf(asyncId)
  if (at === -1) return
  try {
    native.spanClose(depths[at])
  } catch (error) {
    failed(error)
  }
  ids.length = at
  depths.length = at
}

/** Node ends the process when a hook throws, so metering stops at the first error: it would recur at each callback. */
function failed(error) {
  close()
  internalErrors.report('in an async hook', error)
  stopMetering()
}

const stopMetering = internalErrors.guarded('when asynchronous spans were switched off', () => native.asyncMode('off'))

function open() {
  if (state.open) return
  if (hook === null) {
    hook = createHook({ before, after })
    watchSockets()
  }
  pools.watch(keep)
  generation += 1
  state.open = true
  hook.enable()
}

function close() {
  if (!state.open) return
  state.open = false
  hook.disable()
  storage.disable()
  ids.length = 0
  depths.length = 0
}

/** `mode`: `'sampled'`, `true` or `false`, as in `plimsoll({ async })`. */
function start(mode) {
  native.asyncMode(mode === true ? 'always' : mode === false ? 'off' : 'sampled')
  if (mode === true) open()
}

/** Call this on each tick. */
function tick() {
  const change = native.turnWindows()
  if (change === 1) open()
  else if (change === 2) close()
  else if (state.open) pools.watch(keep)
}

/** Runs `work` in an owner's context. The caller opens the span. */
function within(owner, work) {
  return state.open ? storage.run(owner, work) : work()
}

/** Runs `call.apply(self, args)` as a span of its own, in its owner's context. */
function run(owner, call, self, args) {
  const depth = native.spanOpen(owner ?? NO_OWNER)
  try {
    return storage.run(owner, () => Reflect.apply(call, self, args))
  } finally {
    native.spanClose(depth)
  }
}

/** Returns a callback that runs in the present context, as a span of its owner. */
function keep(callback) {
  if (!state.open) return callback
  const owner = storage.getStore()
  return function (...args) {
    return state.open ? run(owner, callback, this, args) : Reflect.apply(callback, this, args)
  }
}

/** The owner that wrote to a socket last, and whether data has arrived since. */
class Writer {
  constructor(owner) {
    this.owner = owner
    this.generation = generation
    this.answered = false
    this.shared = false
  }
}

function wrote(socket) {
  // A server's socket is read by its parser, after which the tap counts.
  if (!state.open || socket.server) return
  const owner = storage.getStore()
  const writer = socket[WRITER]
  if (writer === undefined || writer.generation !== generation) {
    socket[WRITER] = new Writer(owner)
  } else if (writer.owner === owner || writer.answered) {
    writer.owner = owner
    writer.answered = false
  } else {
    writer.shared = true
  }
}

function watchSockets() {
  const { prototype } = net.Socket
  for (const name of ['_write', '_writev']) {
    const original = prototype[name]
    prototype[name] = function (...args) {
      wrote(this)
      return Reflect.apply(original, this, args)
    }
  }
  // Readable's `push`, unless other code has replaced it.
  const { push } = prototype
  prototype.push = function (...args) {
    const writer = state.open ? this[WRITER] : undefined
    if (writer === undefined || writer.generation !== generation) return Reflect.apply(push, this, args)
    if (!writer.shared) writer.answered = true
    return run(writer.shared ? undefined : writer.owner, push, this, args)
  }
}

module.exports = { state, start, tick, within, run }
