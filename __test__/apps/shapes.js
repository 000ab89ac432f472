'use strict'

/*
 * The shapes in which JavaScript retains what it should not. Each function leaks `count` objects in one of them, as an
 * app would that does so in each request. `shapes.js <shape> <folder>` takes two heap snapshots: before and after.
 */

const { AsyncLocalStorage } = require('node:async_hooks')
const diagnostics = require('node:diagnostics_channel')
const domain = require('node:domain')
const { EventEmitter } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { performance } = require('node:perf_hooks')
const { Readable, Writable } = require('node:stream')
const { setTimeout: pause } = require('node:timers/promises')
const { MessageChannel } = require('node:worker_threads')
const express = require('express')
const plimsoll = require('../..')

class Session {
  constructor(number) {
    this.number = number
    this.text = `session ${number}`.repeat(20)
  }
}

const times = (count, each) => {
  for (let number = 0; number < count; number++) each(number)
}
const never = new Promise(() => {})

const list = []
const sessions = new Map()
const seen = new Set()
const byName = {}
const prepared = new Map()
const callbacks = []
const bus = new EventEmitter().setMaxListeners(0)
const target = new EventTarget()
const shutdown = new AbortController()
const server = http.createServer(express())
server.setMaxListeners(0)
const client = {
  interceptors: {
    request: new (class InterceptorManager {
      handlers = []
    })()
  }
}
const router = express.Router()
const storage = new AsyncLocalStorage()
const owners = new WeakMap()
const registry = new FinalizationRegistry(() => {})
const channel = diagnostics.channel('shapes')
const group = domain.create()
const log = new Writable({ write() {} })
const source = new Readable({ read() {} })
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
const tokens = []
const heads = []
const failures = []
const formats = new Map()
const patterns = new Map()
const ports = []
const responses = new Set()
let tail = never
let last = null

class Registry {
  static items = []
}

class LRUCache {
  constructor({ max }) {
    this.max = max
    this.entries = new Map()
  }

  set(key, value) {
    this.entries.set(key, value)
    if (this.entries.size > this.max) this.entries.delete(this.entries.keys().next().value)
  }
}
const recent = new LRUCache({ max: Number.POSITIVE_INFINITY })

function counter() {
  const visits = []
  return number => visits.push(new Session(number))
}
const visit = counter()

async function listen(server) {
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return server.address().port
}

const shapes = {
  array: count => times(count, number => list.push(new Session(number))),
  map: count => times(count, number => sessions.set(`key ${number}`, new Session(number))),
  set: count => times(count, number => seen.add(new Session(number))),
  object: count =>
    times(count, number => {
      byName[`name ${number}`] = new Session(number)
    }),
  strings: count =>
    times(count, number => {
      byName[`visitor ${number} ${Math.random()}`] = true
    }),
  'keys-by-identity': count =>
    times(count, number => prepared.set({ schema: `schema ${number}` }, new Session(number))),
  closures: count =>
    times(count, number => {
      const session = new Session(number)
      callbacks.push(() => session)
    }),
  'linked-list': count =>
    times(count, number => {
      last = Object.assign(new Session(number), { before: last })
    }),
  'unbounded-lru': count => times(count, number => recent.set(`key ${number}`, new Session(number))),
  'static-field': count => times(count, number => Registry.items.push(new Session(number))),
  'global-variable': count => {
    globalThis.leaked ??= []
    times(count, number => globalThis.leaked.push(new Session(number)))
  },
  'closure-variable': count => times(count, visit),
  'emitter-listeners': count =>
    times(count, number => {
      const session = new Session(number)
      bus.on('change', () => session)
    }),
  'event-target-listeners': count =>
    times(count, number => {
      const session = new Session(number)
      target.addEventListener('change', () => session)
    }),
  'abort-signal-listeners': count =>
    times(count, number => {
      const session = new Session(number)
      shutdown.signal.addEventListener('abort', () => session)
    }),
  'process-listeners': count => {
    process.setMaxListeners(0)
    times(count, number => {
      const session = new Session(number)
      process.on('SIGUSR2', () => session)
    })
  },
  'server-listeners': count =>
    times(count, number => {
      const session = new Session(number)
      server.on('close', () => session)
    }),
  'socket-listeners': async count => {
    const port = await listen(net.createServer())
    const socket = net.connect(port, '127.0.0.1').setMaxListeners(0)
    times(count, number => {
      const session = new Session(number)
      socket.on('timeout', () => session)
    })
  },
  interceptors: count =>
    times(count, number => {
      const session = new Session(number)
      client.interceptors.request.handlers.push({ fulfilled: () => session })
    }),
  middleware: count =>
    times(count, number => {
      const session = new Session(number)
      router.use((_req, _res, next) => next(session))
    }),
  intervals: count =>
    times(count, number => {
      const session = new Session(number)
      setInterval(() => session, 3_600_000).unref()
    }),
  timeouts: count =>
    times(count, number => {
      const session = new Session(number)
      setTimeout(() => session, 7_200_000).unref()
    }),
  immediates: count =>
    times(count, number => {
      const session = new Session(number)
      const again = () => setImmediate(again, session).unref()
      again()
    }),
  'promise-reactions': count =>
    times(count, number => {
      const session = new Session(number)
      never.then(() => session)
    }),
  'promise-chain': count =>
    times(count, number => {
      const session = new Session(number)
      tail = tail.then(() => session)
    }),
  'async-functions': count =>
    times(count, async number => {
      const session = new Session(number)
      await never
      return session
    }),
  'async-context': count => times(count, number => storage.run(new Session(number), () => never.then(() => {}))),
  'weak-map': count => {
    owners.set(server, owners.get(server) ?? [])
    times(count, number => owners.get(server).push(new Session(number)))
  },
  'finalization-registry': count =>
    times(count, number => {
      const session = new Session(number)
      registry.register(session, session)
    }),
  'module-cache': count => {
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-test-')), 'settings.js')
    fs.writeFileSync(file, 'module.exports = { text: String(Math.random()).repeat(20) }')
    times(count, () => {
      delete require.cache[file]
      require(file)
    })
    fs.rmSync(path.dirname(file), { recursive: true })
  },
  'writable-buffer': count => times(count, number => log.write(`line ${number} `.repeat(10))),
  'readable-buffer': count => times(count, number => source.push(`line ${number} `.repeat(10))),
  'agent-queue': async count => {
    const port = await listen(http.createServer(() => {}))
    times(count, number => http.get({ port, agent, path: `/${number}` }).on('error', () => {}))
  },
  connections: async count => {
    const port = await listen(net.createServer(() => {}))
    await Promise.all(
      Array.from(
        { length: Math.min(count, 100) },
        () => new Promise(resolve => net.connect(port, '127.0.0.1', resolve))
      )
    )
  },
  requests: async count => {
    const app = express()
    const port = await listen(http.createServer(app))
    const kept = []
    app.get('/', (req, res) => {
      kept.push(req)
      res.end()
    })
    const keepAlive = new http.Agent({ keepAlive: true, maxSockets: 4 })
    await Promise.all(
      Array.from(
        { length: count },
        () => new Promise(resolve => http.get({ port, agent: keepAlive }, res => res.resume().on('end', resolve)))
      )
    )
    keepAlive.destroy()
  },
  'sliced-strings': count =>
    times(count, number => tokens.push(`${number} ${'x'.repeat(2000)}`.repeat(2).slice(0, 40))),
  buffers: count => times(count, () => heads.push(Buffer.from('a small part'))),
  errors: count => times(count, number => failures.push(new Error(`failure ${number}`))),
  intl: count => times(Math.min(count, 200), number => formats.set(`key ${number}`, new Intl.NumberFormat('de'))),
  'regular-expressions': count =>
    times(count, number => patterns.set(`key ${number}`, new RegExp(`^pattern ${number}$`))),
  'symbol-registry': count => times(count, number => Symbol.for(`a symbol of the request ${number} ${Math.random()}`)),
  'message-ports': count =>
    times(count, () => {
      const { port1, port2 } = new MessageChannel()
      port1.on('message', () => {})
      port1.unref()
      ports.push(port2)
    }),
  'diagnostics-subscribers': count =>
    times(count, number => {
      const session = new Session(number)
      channel.subscribe(() => session)
    }),
  'domain-members': count => times(count, () => group.add(new EventEmitter())),
  'performance-marks': count => times(count, number => performance.mark(`request ${number}`)),
  'open-responses': count => times(count, () => responses.add(new http.ServerResponse({ method: 'GET' })))
}

/** Once before, for what the code creates only once. */
const FEW = 20
const MANY = 1000
/** Node creates some of its own objects later, such as those of a server's timer. */
const SETTLED_MS = 100

async function main([name, folder]) {
  for (const [file, count] of [
    ['before', FEW],
    ['after', MANY]
  ]) {
    await shapes[name](count)
    await pause(SETTLED_MS)
    global.gc()
    await plimsoll.snapshot({ path: path.join(folder, `${file}.heapsnapshot`) })
  }
  process.exit()
}

module.exports = shapes
if (require.main === module) main(process.argv.slice(2))
