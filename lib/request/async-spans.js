'use strict'

/*
 * Asynchronous spans: what a request's promises, timers, streams and callbacks allocate is charged to it as well.
 *
 * The chain of a request runs with its owner, a number, in an AsyncLocalStorage; hooks before and after each callback read it,
 * and open and close a span. A number, because an async context may live as long as the process (a pool's connection that was
 * opened for one request) and must hold no request. It names the slot, generation included, so that one that has ended owns
 * nothing; and the layer, where those are metered.
 *
 * That costs something at each promise and callback, so by default it is done in windows (src/ledger/windows.rs).
 *
 * What arrives on a socket runs in the context of whoever opened it. With pooled connections that is another request, so it
 * is charged to whoever wrote to the socket last, in whose context it runs; to nobody where two write before an answer comes.
 */

const { AsyncLocalStorage, createHook } = require('node:async_hooks')
const net = require('node:net')
const { native } = require('../core/addon.js')
const internalErrors = require('../core/internal-errors.js')
const pools = require('./pool-callbacks.js')

const ASKER = Symbol('plimsoll.asker')
const NOBODY = 0

/** Whether asynchronous spans are metered now. */
const state = { open: false }
const storage = new AsyncLocalStorage()
let hook = null
/** Counts windows: what is known of a socket belongs to one. */
let generation = 0

/** The callbacks that run now and have a span: their async ids, and the depths of their spans. */
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
  // One that threw may not have been seen to end: it ends with the one outside it.
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

/** Node ends the process when a hook throws. There is no second try: what failed once would fail at each callback. */
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

/** `mode`: `'sampled'`, `true` or `false`, as `plimsoll({ async })` has it. */
function start(mode) {
  native.asyncMode(mode === true ? 'always' : mode === false ? 'off' : 'sampled')
  if (mode === true) open()
}

/** To be called at each turn of the timer. */
function turn() {
  const turned = native.turnWindows()
  if (turned === 1) open()
  else if (turned === 2) close()
  else if (state.open) pools.watch(keep)
}

/** Runs `work` in an owner's context, without opening a span: that is the caller's. */
function within(owner, work) {
  return state.open ? storage.run(owner, work) : work()
}

/** Runs `call.apply(self, args)` as a span of its own, in its owner's context. */
function run(owner, call, self, args) {
  const depth = native.spanOpen(owner ?? NOBODY)
  try {
    return storage.run(owner, () => Reflect.apply(call, self, args))
  } finally {
    native.spanClose(depth)
  }
}

/** A callback that runs in the context that it was made in, and as a span of its owner. */
function keep(callback) {
  if (!state.open) return callback
  const owner = storage.getStore()
  return function (...args) {
    return state.open ? run(owner, callback, this, args) : Reflect.apply(callback, this, args)
  }
}

/** Who wrote to a socket last, and whether an answer has come since. */
class Asker {
  constructor(owner) {
    this.owner = owner
    this.generation = generation
    this.answered = false
    this.shared = false
  }
}

function asked(socket) {
  // A server's socket is read by its parser, which the tap stands behind.
  if (!state.open || socket.server) return
  const owner = storage.getStore()
  const asker = socket[ASKER]
  if (asker === undefined || asker.generation !== generation) {
    socket[ASKER] = new Asker(owner)
  } else if (asker.owner === owner || asker.answered) {
    asker.owner = owner
    asker.answered = false
  } else {
    asker.shared = true
  }
}

function watchSockets() {
  const { prototype } = net.Socket
  for (const name of ['_write', '_writev']) {
    const original = prototype[name]
    prototype[name] = function (...args) {
      asked(this)
      return Reflect.apply(original, this, args)
    }
  }
  // Readable's, unless somebody else has put one there.
  const { push } = prototype
  prototype.push = function (...args) {
    const asker = state.open ? this[ASKER] : undefined
    if (asker === undefined || asker.generation !== generation) return Reflect.apply(push, this, args)
    if (!asker.shared) asker.answered = true
    return run(asker.shared ? undefined : asker.owner, push, this, args)
  }
}

module.exports = { state, start, turn, within, run }
