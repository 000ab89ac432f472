'use strict'

// Started with --expose-gc and the name of a set of middleware. Prints which requests are still alive after one
// collection, by framework and kind of request, while their connection is open. One JSON object on standard output.

const { AsyncLocalStorage } = require('node:async_hooks')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const http2 = require('node:http2')
const net = require('node:net')
const { gzipSync } = require('node:zlib')
const plimsoll = require('../..')

const TURNS = 20
const ATTEMPTS = 3
const quiet = { info() {}, warn() {}, error: message => process.stderr.write(`${message}\n`) }
const tracker = options => plimsoll({ recorder: false, log: quiet, ...options })
const everything = { layers: true, async: true, watch: true, largeResponses: true }
const guard = { limit: 50_000, minRate: 1, budget: '1gb' }

const sets = {
  none: () => [],
  'plimsoll()': () => [tracker()],
  layers: () => [tracker({ layers: true })],
  async: () => [tracker({ async: true })],
  watch: () => [tracker({ watch: true })],
  largeResponses: () => [tracker({ largeResponses: { over: 1 } })],
  limit: () => [plimsoll.limit(50_000)],
  minRate: () => [plimsoll.limit({ limit: 50_000, minRate: 1 })],
  budget: () => [plimsoll.limit({ limit: 50_000, budget: '1gb' })],
  defer: () => [plimsoll.limit({ ...guard, defer: true })],
  report: () => [plimsoll.limit({ ...guard, limit: 1, report: true })],
  inflate: () => [plimsoll.limit({ ...guard, inflate: true })],
  shed: () => [plimsoll.shed()],
  scope: () => [plimsoll.scope()],
  spool: () => [plimsoll.spool()],
  watchListeners: () => {
    plimsoll.watchListeners()
    return []
  },
  all: () => {
    plimsoll.watchListeners()
    return [
      tracker(everything),
      plimsoll.limit({ ...guard, inflate: true }),
      plimsoll.shed(),
      plimsoll.scope(),
      plimsoll.spool()
    ]
  }
}

const requests = {
  'without a body': 'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
  'with a body': post('hello world'),
  'with a body that is not read': post('hello world', '/unread'),
  'with a compressed body': post(gzipSync('hello world'), '/', 'Content-Encoding: gzip\r\n'),
  'that is refused': post('x'.repeat(60_000)),
  'that asks first': `${post('', '/', 'Expect: 100-continue\r\n', 11)}hello world`,
  'that is answered late': 'GET /late HTTP/1.1\r\nHost: x\r\n\r\n'
}

/** The client of these disconnects. */
const cutOff = {
  'whose client goes away': post('hello', '/', '', 100),
  'that is refused, whose client goes away': post('x'.repeat(60_000), '/', '', 900_000),
  'that is refused while it is read': `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nEA60\r\n${'x'.repeat(60_000)}\r\n`
}

function post(body, path = '/', headers = '', length = Buffer.byteLength(body)) {
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), Buffer.from(body)])
}

/** What an app stores in an AsyncLocalStorage: a timer of Plimsoll that is created in it would retain the request. */
const storage = new AsyncLocalStorage()
let seen = []

function handler(req, res) {
  storage.run({ req, res }, () => {
    if (req.scope !== undefined) req.scope.defer(() => {})
    if (req.url === '/late') return fs.stat(__filename, () => res.end('late'))
    if (req.url === '/unread') return res.end('unread')
    req.resume()
    if (req.body !== undefined) res.end('spooled')
    else req.on('end', () => Promise.resolve().then(() => res.end('read')))
    // A body that is refused while it is read.
    req.on('error', error => res.headersSent || res.writeHead(error.status ?? 400).end(error.message))
  })
}

const frameworks = {
  http: middleware => (req, res) => run(middleware, 0, req, res),
  express4: middleware => withExpress(require('express4'), middleware),
  express5: middleware => withExpress(require('express'), middleware)
}

function run(middleware, at, req, res) {
  if (at === middleware.length) return handler(req, res)
  middleware[at](req, res, error => {
    if (error) res.writeHead(error.status).end(error.message)
    else run(middleware, at + 1, req, res)
  })
}

function withExpress(express, middleware) {
  const app = express()
  for (const each of middleware) app.use(each)
  // A router and a function that are created for the request retain it.
  app.use((req, res, next) => {
    const router = express.Router()
    router.use('/', (_req, _res, onward) => onward(void req))
    router(req, res, next)
  })
  app.all(['/', '/unread', '/late'], handler)
  app.use((error, _req, res, _next) => res.status(error.status).end(error.message))
  return app
}

async function main() {
  const middleware = sets[process.argv[2]]()
  const retained = {}
  for (const [name, make] of Object.entries(frameworks)) {
    const app = make(middleware)
    const server = http.createServer((req, res) => {
      // Before everything, including refused requests.
      seen.push(new WeakRef(req), new WeakRef(res))
      // Node's timer for the `Date` header would retain it too: it is renewed each second.
      res.sendDate = false
      storage.run({ req, res }, app, req, res)
    })
    if (process.argv[2] !== 'none') plimsoll.attach(server)
    // Node's timer for an idle connection would retain the async context in which the response ended, and so the
    // request.
    server.keepAliveTimeout = 0
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    retained[name] = {}
    for (const [kind, bytes] of Object.entries(requests)) {
      const left = await leastOf(() => leftOf(server.address().port, bytes))
      if (left > 0) retained[name][kind] = left
    }
    for (const [kind, bytes] of Object.entries(cutOff)) {
      const left = await leastOf(() => leftOfGone(server, bytes))
      if (left > 0) retained[name][kind] = left
    }
    server.closeAllConnections()
    server.close()
  }
  retained.http2 = await retainedOfHttp2(middleware)
  process.stdout.write(JSON.stringify(retained))
  process.exit()
}

/** Sometimes one collection misses garbage, with Plimsoll or without. What is retained is there in each attempt. */
async function leastOf(attempt) {
  let left = await attempt()
  for (let attempts = 1; left > 0 && attempts < ATTEMPTS; attempts++) left = Math.min(left, await attempt())
  return left
}

/** How many objects of one request are alive after one collection, with its connection open. */
async function leftOf(port, bytes) {
  const { socket, answer } = await send(port, bytes)
  while (!isWhole(answer())) await turn()
  const left = await collect()
  if (socket.destroyed) throw new Error(`the connection is closed: ${answer()}`)
  socket.destroy()
  return left
}

/** For a session that stays open. */
async function retainedOfHttp2(middleware) {
  const retained = {}
  const server = http2.createServer((req, res) => {
    seen.push(new WeakRef(req), new WeakRef(res))
    res.sendDate = false
    storage.run({ req, res }, run, middleware, 0, req, res)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`)
  const bodies = { 'without a body': undefined, 'with a body': 'hello world', 'that is refused': 'x'.repeat(60_000) }
  for (const [kind, body] of Object.entries(bodies)) {
    const left = await leastOf(async () => {
      seen = []
      const stream = client.request({ ':method': body === undefined ? 'GET' : 'POST' })
      stream.on('error', () => {})
      stream.end(body)
      stream.resume()
      await once(stream, 'close')
      return collect()
    })
    if (left > 0) retained[kind] = left
  }
  client.destroy()
  server.close()
  return retained
}

/** Like `leftOf`, for a request whose client disconnected while the app had it. */
async function leftOfGone(server, bytes) {
  const { socket } = await send(server.address().port, bytes)
  while (seen.length === 0) await turn()
  for (let turns = 0; turns < TURNS; turns++) await turn()
  socket.destroy()
  while (await new Promise(resolve => server.getConnections((_error, number) => resolve(number > 0)))) await turn()
  return collect()
}

async function send(port, bytes) {
  seen = []
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  let text = ''
  socket.on('data', data => {
    text += data
  })
  socket.write(bytes)
  return { socket, answer: () => text }
}

async function collect() {
  for (let turns = 0; turns < TURNS; turns++) await turn()
  await globalThis.gc({ type: 'major', execution: 'async' })
  if (seen.length !== 2) throw new Error(`${seen.length} objects were made, not 2`)
  return seen.filter(ref => ref.deref() !== undefined).length
}

function turn() {
  return new Promise(setImmediate)
}

function isWhole(answer) {
  const text = answer.replace(/^HTTP\/1.1 100 Continue\r\n\r\n/, '')
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return false
  const length = /^content-length: (\d+)/im.exec(text)
  const body = text.slice(end + 4)
  return length === null ? body.endsWith('0\r\n\r\n') : body.length >= Number(length[1])
}

main().catch(error => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
