'use strict'

/*
 * What is asked of the app's process. Whatever is kept here is constant in size, or it would be measured as the app's.
 */

const fs = require('node:fs')
const { setTimeout: pause } = require('node:timers/promises')
const v8 = require('node:v8')
const { native } = require('../../core/addon.js')
const { Profiler } = require('../../leaks/heap-profiler.js')
const { routesOf } = require('./discover.js')

/** Collections at a time: what a finalizer lets go of is free for the next one only. Then, until nothing is freed any more. */
const COLLECTIONS = 3
const MOST_COLLECTIONS = 8
/** Bytes of the heap and beside it that are as good as nothing. */
const SETTLED = 2048
const PAUSE_MS = 10
/** Connections that have been closed from outside are gone by then. */
const PATIENCE_MS = 2000
/** Node's own 5 s would close the load's connections while something is looked at, and what hangs on them would go. */
const KEEP_ALIVE_MS = 3_600_000
/** Requests that are watched weakly: of a block, and of all that are alive. */
const WATCHED = 8
const WATCHED_ALIVE = 400
const HEADER = 'x-plimsoll-soak'

const { gc } = globalThis
const state = {
  server: null,
  app: null,
  profiler: null,
  sockets: new Set(),
  /** Handles by route, of requests that were alive when they were last looked at. */
  handles: new Map(),
  route: null,
  /** Of the block's requests, how many are still to be watched, and are. */
  left: 0,
  watched: 0
}

/** The server is there. Returns what the parent needs to know of it. */
function meet(server, app, token) {
  state.server = server
  state.app = app
  server.keepAliveTimeout = Math.max(server.keepAliveTimeout, KEEP_ALIVE_MS)
  const { emit } = server
  const secure = typeof server.setSecureContext === 'function'
  server.emit = function (event, first, second) {
    if (event === 'request') {
      if (first.headers[HEADER] === token) {
        // The last request of a connection lives as long as it does; this one is alike whatever was asked before.
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
  state.watched += 1
  handles.push(handle)
}

/** A block of requests to one route is about to come. */
function block({ route }) {
  state.route = route
  state.left = WATCHED
  state.watched = 0
  if (!state.handles.has(route)) state.handles.set(route, [])
}

/** What is there when all garbage is gone. `connections`: what the load keeps open. */
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
    watched: state.watched
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

/** What the descriptors are open on, each as often: files by path, sockets as such. Null where that is not to be had. */
function openFiles() {
  const counts = {}
  try {
    for (const number of fs.readdirSync('/proc/self/fd')) {
      let target
      try {
        target = fs.readlinkSync(`/proc/self/fd/${number}`)
      } catch {
        // Closed meanwhile: the one of the listing itself.
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

/** Of the emitters that outlive requests and can be found: the process, the server, its connections. */
function listeners() {
  let sum = 0
  for (const emitter of [process, state.server, ...state.sockets]) {
    for (const name of emitter.eventNames()) sum += emitter.listenerCount(name)
  }
  return sum
}

/** Requests that were watched and are still there, by route. */
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

function profileStop() {
  state.profiler?.close()
  state.profiler = null
}

module.exports = {
  meet,
  block,
  figures,
  routes: () => routesOf(state.app, state.server),
  openFiles,
  profileStart,
  profileTake: () => state.profiler.take(),
  profileStop,
  snapshot: path => v8.writeHeapSnapshot(path)
}
