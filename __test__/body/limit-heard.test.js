'use strict'

// The client of a refused upload reads its response, with any client, connection and server, and nothing of it is left.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const http2 = require('node:http2')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')
const { text } = require('node:stream/consumers')
const test = require('node:test')
const express = require('express')
const multer = require('multer')
const plimsoll = require('../..')
const { start } = require('../support/child.js')
const { serve, request, until } = require('../support/http.js')
const { errorPage, wire, chunk, LAST_CHUNK } = require('../support/uploads.js')
const { needs, MEBIBYTE, withHttp, withFetch, withCurl, throttled, many, percentile } = require('../support/refused.js')

/** A client that does not close its half when the server has closed its own. */
const HALF_OPEN = { allowHalfOpen: true }

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-heard-'))
test.after(() => fs.rmSync(folder, { recursive: true, force: true }))

function fileOf(mebibytes) {
  const file = path.join(folder, `${mebibytes}.bin`)
  if (!fs.existsSync(file)) fs.writeFileSync(file, Buffer.alloc(mebibytes * MEBIBYTE, 'x'))
  return file
}

function guarded(limit = plimsoll.limit('1mb')) {
  const app = express()
  app.use(plimsoll())
  app.use(limit)
  app.post('/raw', express.raw({ type: () => true, limit: '1gb' }), (req, res) => res.json(req.body.length))
  app.post('/multer', multer().single('file'), (_req, res) => res.json({}))
  app.post('/data', (req, res) => req.resume().on('end', () => res.json({})))
  app.post('/file', (req, res) => {
    const file = fs.createWriteStream(path.join(folder, `upload-${Math.random()}`))
    file.on('finish', () => res.json({}))
    req.pipe(file)
  })
  app.post('/answers', (_req, res) => res.status(401).end())
  app.get('/', (_req, res) => res.send('hello'))
  app.use(errorPage([]))
  return app
}

async function served(t, app = guarded()) {
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

function connections(server) {
  return new Promise(resolve => server.getConnections((_error, count) => resolve(count)))
}

async function nobodyLeft(server) {
  await until(async () => (await connections(server)) === 0, 'no connection is left')
  await until(() => plimsoll.stats().requests.inFlight === 0, 'no request is in flight')
}

const certificate = () => {
  const [key, cert] = ['key.pem', 'cert.pem'].map(name => path.join(folder, name))
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
  execFileSync('openssl', ['req', '-x509', ...options, '-subj', '/CN=localhost', '-keyout', key, '-out', cert], {
    stdio: 'ignore'
  })
  return { key: fs.readFileSync(key), cert: fs.readFileSync(cert) }
}

for (const [client, send] of Object.entries({
  'http, declared': options => withHttp({ ...options, declared: true }),
  'http, chunked': withHttp,
  'fetch, declared': options => withFetch({ ...options, declared: true }),
  'fetch, chunked': withFetch
})) {
  test(`${client}: 100 of 100 uploads of 50 MiB read their 413`, async t => {
    const child = await start('heard')
    t.after(() => child.stop())
    const { port } = child
    const paths = ['/raw', '/multer', '/data', '/file']
    const answers = await many(100, 5, index => send({ port, path: paths[index % 4], mebibytes: 50 }))
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array(100).fill(413)
    )
    if (client.startsWith('http')) {
      const alone = await many(30, 1, index => send({ port, path: paths[index % 4], mebibytes: 50 }))
      for (const [how, all] of Object.entries({ 'five at once': answers, 'one at a time': alone })) {
        const times = all.map(({ firstByteMs }) => firstByteMs)
        const [half, most, last] = [0.5, 0.99, 1].map(share => percentile(times, share).toFixed(1))
        t.diagnostic(`first byte after the excess, ${how}: median ${half} ms, p99 ${most} ms, last ${last} ms`)
      }
    }
    await until(async () => (await child.ask('connections')) === 0, 'no connection is left')
    await until(async () => (await child.ask('stats')).requests.inFlight === 0, 'no request is in flight')
  })
}

test('curl: 100 of 100 uploads of 50 MiB read their 413', needs('curl'), async t => {
  const { port, server } = await served(t)
  const answers = await many(100, 5, () =>
    withCurl({ url: `http://127.0.0.1:${port}/raw`, file: fileOf(50), headers: { expect: '' } })
  )
  assert.ok(answers.every(({ status }) => status === 413))
  await nobodyLeft(server)
})

test('a client that asked for the connection to be closed reads its 413', async t => {
  const { port, server } = await served(t)
  for (const declared of [true, false]) {
    const headers = { connection: 'close' }
    const answers = await many(20, 5, () => withHttp({ port, path: '/raw', mebibytes: 20, declared, headers }))
    assert.ok(answers.every(({ status }) => status === 413))
  }
  await nobodyLeft(server)
})

test('over a slow link the client reads its 413 while it sends', async t => {
  const { port, server } = await served(t)
  const proxy = await throttled(port, 4 * MEBIBYTE)
  t.after(() => proxy.close())
  for (const declared of [true, false]) {
    const answers = await many(6, 3, () => withHttp({ port: proxy.port, path: '/raw', mebibytes: 5, declared }))
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array(6).fill(413)
    )
  }
  await nobodyLeft(server)
})

test('over TLS every client reads its 413', needs('openssl', 'curl'), async t => {
  const { port, server } = await served(t, https.createServer(certificate(), guarded()))
  for (const declared of [true, false]) {
    const answers = await many(30, 5, () => withHttp({ port, path: '/raw', tls: true, mebibytes: 20, declared }))
    assert.ok(answers.every(({ status }) => status === 413))
  }
  const { status } = await withCurl({ url: `https://127.0.0.1:${port}/raw`, file: fileOf(20), headers: { expect: '' } })
  assert.equal(status, 413)
  await nobodyLeft(server)
})

test('HTTP/2: the answer comes whole, the stream is closed without an error, and the session lives', async t => {
  const limit = plimsoll.limit('1mb')
  const page = 'x'.repeat(300_000)
  const server = http2.createServer((req, res) => {
    limit(req, res, error => {
      if (error) return res.writeHead(error.status).end(page)
      req.on('error', error => res.writeHead(error.status).end(page))
      req.resume().on('end', () => res.end('whole'))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`)
  for (const headers of [{ 'content-length': 5 * MEBIBYTE }, {}]) {
    const stream = session.request({ ':method': 'POST', ...headers })
    const closed = once(stream, 'close')
    stream.end(Buffer.alloc(5 * MEBIBYTE))
    const [response] = await once(stream, 'response')
    assert.equal(response[':status'], 413)
    assert.equal((await text(stream)).length, page.length)
    await closed
    assert.equal(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR)
  }
  const stream = session.request({ ':method': 'POST' })
  stream.end('small')
  assert.equal(await text(stream), 'whole')
  await session.close()
})

test('runs no request that comes after a refused body on a connection that is closed', async t => {
  const seen = []
  const app = guarded(plimsoll.limit(1000))
  const server = http.createServer((req, res) => {
    seen.push(req.method)
    app(req, res)
  })
  const { port } = await served(t, server)
  const client = await wire(port)
  client.write(`POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`, chunk('x'.repeat(1001)))
  const [refused] = await client.responses(1)
  assert.deepEqual([refused.status, refused.headers.connection], [413, 'close'])
  client.write(chunk('x'), LAST_CHUNK, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  client.socket.end()
  await until(client.closed, 'the connection ends')
  assert.deepEqual(seen, ['POST'])
})

test('says nothing to clientError when a refused client goes away', async t => {
  const { port, server } = await served(t)
  const errors = []
  server.on('clientError', (error, socket) => {
    errors.push(error)
    socket.destroy()
  })
  await many(10, 5, () => withHttp({ port, path: '/raw', mebibytes: 20 }))
  await nobodyLeft(server)
  assert.deepEqual(errors, [])
})

for (const [bound, linger] of Object.entries({
  'the client says nothing': { timeMs: 60_000, idleMs: 200 },
  'the client goes on': { timeMs: 300, idleMs: 60_000 },
  'the client has sent enough': { bytes: '1mb', timeMs: 60_000, idleMs: 60_000 }
})) {
  test(`lets go of the connection when ${bound}`, async t => {
    const { port, server } = await served(t, guarded(plimsoll.limit({ limit: 1000, linger })))
    const client = await wire(port, HALF_OPEN)
    client.write(`POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`, chunk('x'.repeat(1001)))
    assert.equal((await client.responses(1))[0].status, 413)
    const more = setInterval(() => {
      if (bound !== 'the client says nothing' && !client.closed()) client.write(chunk(Buffer.alloc(100_000)))
    }, 20)
    t.after(() => clearInterval(more))
    await nobodyLeft(server)
    client.socket.destroy()
  })
}

test('reads a small declared remainder and no more than that, within the same bounds', async t => {
  const linger = { idleMs: 200 }
  const { port, server } = await served(t, guarded(plimsoll.limit({ limit: 1000, linger })))
  const client = await wire(port, HALF_OPEN)
  client.write(`POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n`)
  const [refused] = await client.responses(1)
  assert.deepEqual([refused.status, refused.headers.connection], [413, 'keep-alive'])
  // No connection remains.
  await nobodyLeft(server)
  client.socket.destroy()
})

test('bounds a connection, too, whose body goes over the limit after the answer', async t => {
  const app = express()
  app.use(plimsoll.limit({ limit: 1000, linger: { idleMs: 200 } }))
  app.post('/', (req, res) => {
    req.on('error', () => {})
    res.status(202).end()
    req.resume()
  })
  const { port, server } = await served(t, app)
  const client = await wire(port, HALF_OPEN)
  client.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('x'.repeat(500)))
  const [{ status }] = await client.responses(1)
  assert.equal(status, 202)
  client.write(chunk('x'.repeat(501)))
  await nobodyLeft(server)
  client.socket.destroy()
})

test('responds instead of an error handler that never does', async t => {
  const app = express()
  app.use(plimsoll.limit({ limit: 1000, linger: { timeMs: 200 } }))
  app.use((_error, _req, _res, _next) => {})
  const { port } = await served(t, app)
  const client = await wire(port, HALF_OPEN)
  t.after(() => client.socket.destroy())
  client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n')
  const [{ status, body }] = await client.responses(1)
  assert.deepEqual([status, body], [413, 'request entity too large\n'])
})

test('server.close() does not wait for refused clients', async () => {
  const linger = { timeMs: 60_000, idleMs: 60_000 }
  const { port, server } = await serve(guarded(plimsoll.limit({ limit: 1000, linger })))
  const clients = await many(5, 5, async () => {
    const client = await wire(port, HALF_OPEN)
    client.write(`POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`, chunk('x'.repeat(1001)))
    assert.equal((await client.responses(1))[0].status, 413)
    return client
  })
  assert.equal(await connections(server), 5)
  const closed = once(server, 'close')
  server.close()
  await Promise.race([closed, until(() => false, 'the server is closed', 10_000)])
  for (const client of clients) client.socket.destroy()
})

test('at most 256 connections linger', async t => {
  const linger = { timeMs: 60_000, idleMs: 60_000 }
  const { port, server, close } = await serve(guarded(plimsoll.limit({ limit: 1000, linger })))
  t.after(close)
  const clients = await many(300, 20, async () => {
    const client = await wire(port, HALF_OPEN)
    client.write(`POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`, chunk('x'.repeat(1001)))
    assert.equal((await client.responses(1))[0].status, 413)
    return client
  })
  await until(async () => (await connections(server)) <= 256, 'the others are closed')
  assert.equal(await connections(server), 256)
  for (const client of clients) client.socket.destroy()
  await nobodyLeft(server)
  assert.equal((await request(port, '/')).body, 'hello')
})

test('curl with Expect: an attached server refuses before a byte is uploaded', needs('curl'), async t => {
  const child = await start('heard', { env: { ATTACH: '1' } })
  t.after(() => child.stop())
  const headers = { expect: '100-continue' }
  const url = `http://127.0.0.1:${child.port}`
  const answers = await many(100, 5, () => withCurl({ url: `${url}/raw`, file: fileOf(50), headers }))
  assert.deepEqual(answers, Array(100).fill({ status: 413, uploaded: 0 }))
  // A body that another guard refuses is not sent either.
  assert.deepEqual(await withCurl({ url: `${url}/answers`, file: fileOf(1), headers }), { status: 401, uploaded: 0 })
  const passed = await withCurl({ url: `${url}/raw`, file: fileOf(1), headers })
  assert.deepEqual(passed, { status: 200, uploaded: MEBIBYTE })
  await until(async () => (await child.ask('connections')) === 0, 'no connection is left')
})

test('an attached server sends 100 Continue when the body is first read, once, and never after the response', async t => {
  let read
  const app = express()
  app.use(plimsoll.limit(1000))
  app.post('/', (req, res) => {
    read = () => req.resume().on('end', () => res.send('whole'))
  })
  app.post('/answers', (_req, res) => res.status(401).send('no'))
  const { port, server } = await served(t, app)
  assert.equal(plimsoll.attach(server), server)
  plimsoll.attach(server)
  const client = await wire(port)
  client.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  await until(() => read, 'the handler runs')
  assert.equal(client.text(), '')
  read()
  await until(() => client.text(), 'the client is told to go on')
  assert.equal(client.text(), 'HTTP/1.1 100 Continue\r\n\r\n')
  client.write('small')
  const [, { status, body }] = await client.responses(2)
  assert.deepEqual([status, body], [200, 'whole'])
  client.socket.end()

  const other = await wire(port)
  other.write('POST /answers HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  await until(other.closed, 'a client that may or may not send its body cannot be kept')
  const answers = await other.responses(1)
  assert.deepEqual([answers.length, answers[0].status, answers[0].headers.connection], [1, 401, 'close'])
})

test("an attached server leaves a checkContinue listener of the app's own alone", async t => {
  const server = http.createServer(guarded())
  plimsoll.attach(server)
  server.on('checkContinue', (_req, res) => res.writeHead(418).end())
  const { port } = await served(t, server)
  const client = await wire(port)
  client.write('POST /raw HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  assert.equal((await client.responses(1))[0].status, 418)
  client.socket.destroy()
})

test('attach() and linger take what they take', () => {
  assert.throws(() => plimsoll.attach(express()), /attach\(\)'s server takes a server of node:http/)
  assert.throws(() => plimsoll.attach(http.createServer(), { limit: 1 }), /has no option 'limit'/)
  assert.throws(() => plimsoll.limit({ limit: 1, linger: { time: 1 } }), /linger has no option 'time'/)
  assert.throws(() => plimsoll.limit({ limit: 1, linger: { timeMs: -1 } }), /linger\.timeMs takes a whole number/)
  assert.throws(() => plimsoll.limit({ limit: 1, linger: { drain: '1m' } }), /linger\.drain takes/)
})
