'use strict'

/*
 * Answers the parent's questions in the app's process. What is stored here has a constant size, or it would be measured
 * as the app's.
 */

const fs = require('node:fs')
const { setTimeout: pause } = require('node:timers/promises')
const v8 = require('node:v8')
const { native } = require('../../core/addon.js')
const { Profiler } = require('../../leaks/heap-profiler.js')
const { middlewareOf, routesOf } = require('./discover.js')
const { placesOf } = require('./function-places.js')

/**
 * Collections at a time: what a finalizer releases is freed by the next collection only. They are repeated until
 * nothing more is freed.
 */
const COLLECTIONS = 2
const MOST_COLLECTIONS = 8
/** Bytes of the heap and outside it below which nothing more is freed. */
const SETTLED = 2048
const PAUSE_MS = 10
/** Time for connections that the other side has closed to end. */
const PATIENCE_MS = 2000
/** Node's default of 5 s would close the load's connections during a measurement, and release what is tied to them. */
const KEEP_ALIVE_MS = 3_600_000
/** Requests that are watched weakly: of a block, and in total. */
const WATCHED = 8
const WATCHED_ALIVE = 400
const HEADER = 'x-plimsoll-soak'

const { gc } = globalThis
const state = {
  server: null,
  app: null,
  profiler: null,
  sockets: new Set(),
  /** Handles by route, of requests that were alive at the last check. */
  handles: new Map(),
  route: null,
  /** Requests of the route that are still to be watched in this block, and by route those that are watched. */
  left: 0,
  watched: {}
}

/** Called with the server. Returns what the parent needs to know of it. */
function meet(server, app, token) {
  state.server = server
  state.app = app
  server.keepAliveTimeout = Math.max(server.keepAliveTimeout, KEEP_ALIVE_MS)
  const { emit } = server
  const secure = typeof server.setSecureContext === 'function'
  server.emit = function (event, first, second) {
    if (event === 'request') {
      if (first.headers[HEADER] === token) {
        // A connection refers to its last request. This one is the same after any route.
        second.writeHead(204).end()
        return true
      }
      if (state.left > 0) watch(first)
    } else if (event === (secure ? 'secureConnection' : 'connection')) {
      state.sockets.add(first)
      first.once('close', () => state.sockets.delete(first))
    }
    return Reflect.apply(emit, this, arguments)
  }
  const address = server.address()
  const target = typeof address === 'string' ? { socketPath: address } : { port: address.port, host: hostOf(address) }
  return { ...target, secure, malloc: native?.mallocInUse() ?? null, descriptors: descriptors() !== null }
}

function hostOf({ address }) {
  return address === '::' ? '::1' : address === '0.0.0.0' ? '127.0.0.1' : address
}

function watch(req) {
  const handles = state.handles.get(state.route)
  if (handles.length >= WATCHED_ALIVE) return
  const handle = native?.weakHold(req) ?? null
  if (handle === null) return
  state.left -= 1
  state.watched[state.route] = (state.watched[state.route] ?? 0) + 1
  handles.push(handle)
}

/** Requests to one route begin. */
function block({ route }) {
  state.route = route
  state.left = WATCHED
  if (!state.handles.has(route)) state.handles.set(route, [])
}

/** The figures when all garbage is collected. `connections`: those that the load keeps open. */
async function figures({ connections, settleMs }) {
  state.left = 0
  const deadline = performance.now() + PATIENCE_MS
  while (state.sockets.size > connections && performance.now() < deadline) await pause(PAUSE_MS)
  if (settleMs > 0) await pause(settleMs)
  let usage = await collect()
  for (let i = 1; i < MOST_COLLECTIONS; i++) {
    const { heapUsed: heap, external } = usage
    usage = await collect()
    if (i + 1 >= COLLECTIONS && usage.heapUsed > heap - SETTLED && usage.external > external - SETTLED) break
  }
  const active = counted(process.getActiveResourcesInfo())
  const { watched } = state
  state.watched = {}
  return {
    heap: usage.heapUsed,
    external: usage.external,
    malloc: native?.mallocInUse() ?? null,
    rss: usage.rss,
    descriptors: descriptors(),
    sockets: (active.get('TCPSocketWrap') ?? 0) + (active.get('TLSWrap') ?? 0) + (active.get('PipeWrap') ?? 0),
    timers: active.get('Timeout') ?? 0,
    listeners: listeners(),
    retained: alive(),
    watched
  }
}

async function collect() {
  await pause(PAUSE_MS)
  gc()
  return process.memoryUsage()
}

function counted(names) {
  const counts = new Map()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

function descriptors() {
  try {
    return fs.readdirSync('/proc/self/fd').length
  } catch {
    return null
  }
}

/** What the descriptors refer to, with counts: files by path, sockets without one. Null if that is not available. */
function openFiles() {
  const counts = {}
  try {
    for (const number of fs.readdirSync('/proc/self/fd')) {
      let target
      try {
        target = fs.readlinkSync(`/proc/self/fd/${number}`)
      } catch {
        // Closed in the meantime: the descriptor of the listing itself.
        continue
      }
      const name = target.replace(/^(socket|pipe):.*/, '$1')
      counts[name] = (counts[name] ?? 0) + 1
    }
    return counts
  } catch {
    return null
  }
}

/** Listeners of emitters that outlive requests and can be found: the process, the server, its connections. */
function listeners() {
  let sum = 0
  for (const emitter of [process, state.server, ...state.sockets]) {
    for (const name of emitter.eventNames()) sum += emitter.listenerCount(name)
  }
  return sum
}

/** Watched requests that are still alive, by route. */
function alive() {
  const counts = {}
  for (const [route, handles] of state.handles) {
    const there = handles.filter(handle => {
      if (native.weakAlive(handle)) return true
      native.weakDrop(handle)
      return false
    })
    state.handles.set(route, there)
    counts[route] = there.length
  }
  return counts
}

function profileStart(interval) {
  state.profiler = new Profiler()
  state.profiler.sample(interval)
}

/** The live heap after a collection. */
async function profileTake() {
  await pause(PAUSE_MS)
  gc()
  return state.profiler.take()
}

function profileStop() {
  state.profiler?.close()
  state.profiler = null
}

module.exports = {
  meet,
  block,
  figures,
  routes: () => routesOf(state.app, state.server),
  middleware: () => placesOf(middlewareOf(state.app, state.server)),
  openFiles,
  profileStart,
  profileTake,
  profileStop,
  snapshot: path => v8.writeHeapSnapshot(path)
}
