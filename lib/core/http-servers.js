'use strict'

/*
 * What the HTTP servers of a process emit, from before their own listeners, without a listener that the app could see.
 * The servers of node:http, https and http2 inherit `emit` by way of net.Server, so it is replaced there. This needs no
 * HTTP module: a process without a server loads none.
 */

const net = require('node:net')

/** HTTP modules whose servers may have an `emit` of their own, which does not call that of net.Server. */
const MODULES = ['http', 'https']

/**
 * From now on `intercepted(server, args, emit)` is called instead of `server.emit(...args)` for the events in `events`.
 * It returns what `emit` returns. Returns a function that ends this.
 */
function intercept(events, intercepted) {
  const wanted = new Set(events)
  const state = { on: true }
  const restores = prototypes().map(prototype => replace(prototype, state, wanted, intercepted))
  return () => {
    state.on = false
    for (const restore of restores) restore()
  }
}

function replace(prototype, state, wanted, intercepted) {
  const before = Object.getOwnPropertyDescriptor(prototype, 'emit')
  const above = Object.getPrototypeOf(prototype)
  function emit(event) {
    // An inherited one may be replaced later, as node:domain does.
    const original = before === undefined ? above.emit : before.value
    if (!state.on || !wanted.has(event) || !isHttp(this)) return Reflect.apply(original, this, arguments)
    return intercepted(this, arguments, original)
  }
  Object.defineProperty(prototype, 'emit', { value: emit, writable: true, configurable: true, enumerable: true })
  return () => {
    // Other code may have wrapped it.
    if (prototype.emit !== emit) return
    if (before === undefined) delete prototype.emit
    else Object.defineProperty(prototype, 'emit', before)
  }
}

/** Instrumentation that was loaded before may have wrapped the `emit` that an HTTP server inherits. */
function prototypes() {
  const loaded = process.moduleLoadList ?? []
  const servers = MODULES.filter(name => loaded.includes(`NativeModule ${name}`)).map(
    name => require(`node:${name}`).Server.prototype
  )
  return [net.Server.prototype, ...servers.filter(prototype => Object.hasOwn(prototype, 'emit'))]
}

/** Whether a net.Server is one of node:http, https or http2, by a method that only these have. */
function isHttp(server) {
  return typeof server.closeIdleConnections === 'function' || typeof server.updateSettings === 'function'
}

module.exports = { intercept }
