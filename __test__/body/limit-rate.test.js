'use strict'

// A client that uploads too slowly gets an error. A slow but steady one does not.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http2 = require('node:http2')
const { text } = require('node:stream/consumers')
const test = require('node:test')
const express = require('express')
const plimsoll = require('../..')
const { serve, until } = require('../support/http.js')
const { wire, chunk, LAST_CHUNK } = require('../support/uploads.js')

const CHUNKED = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
const DECLARED = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n'

async function served(t, options, handler) {
  const app = express()
  app.use(plimsoll())
  app.use(plimsoll.limit({ limit: '1gb', ...options }))
  app.post(
    '/',
    handler ??
      ((req, res, next) =>
        req
          .on('error', next)
          .resume()
          .on('end', () => res.send('whole')))
  )
  app.use((error, _req, res, _next) => {
    const { status, type, limit, received, length, expose } = error
    res.status(status).json({ type, limit, received, length, expose })
  })
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

/** Writes `piece` every `everyMs` until the client has a response or has written `times`. */
function trickle(t, client, piece, everyMs, times = Number.POSITIVE_INFINITY) {
  return new Promise(resolve => {
    let written = 0
    const timer = setInterval(() => {
      if (client.text() !== '' || client.closed() || written === times) {
        clearInterval(timer)
        return resolve()
      }
      written += 1
      client.write(piece)
    }, everyMs)
    t.after(() => clearInterval(timer))
  })
}

for (const [who, head, piece] of [
  ['trickles a declared body', DECLARED, 'x'],
  ['trickles a body without a length', CHUNKED, chunk('x')],
  ['sends nothing', DECLARED, null],
  ['stops in the middle', CHUNKED, null]
]) {
  test(`a client that ${who} reads a 408`, async t => {
    const before = plimsoll.stats().requests
    const { port, server } = await served(t, { minRate: { bytes: 1000, graceMs: 300 } })
    const client = await wire(port)
    client.write(head)
    if (who === 'stops in the middle') client.write(chunk('x'.repeat(5000)))
    if (piece !== null) await trickle(t, client, piece, 50)
    const [{ status, headers, body }] = await client.responses(1)
    const { received, ...error } = JSON.parse(body)
    const declared = head === DECLARED ? { length: 100_000 } : {}
    assert.deepEqual([status, error], [408, { type: 'request.too.slow', limit: 1000, expose: true, ...declared }])
    assert.equal(headers.connection, 'close')
    assert.ok(who === 'stops in the middle' ? received === 5000 : received < 1000)
    const { tooSlow, limited } = plimsoll.stats().requests
    assert.deepEqual([tooSlow, limited], [before.tooSlow + 1, before.limited])
    client.socket.destroy()
    await until(() => new Promise(done => server.getConnections((_error, count) => done(count === 0))), 'it is gone')
  })
}

test('a client that is slow but steady passes, for many times the grace period', async t => {
  const { port } = await served(t, { minRate: { bytes: 200, graceMs: 500 } })
  const client = await wire(port)
  client.write(CHUNKED)
  await trickle(t, client, chunk('x'.repeat(100)), 50, 50)
  client.write(LAST_CHUNK)
  assert.equal((await client.responses(1))[0].body, 'whole')
  client.socket.destroy()
})

test('a pause of the app is not the client’s', async t => {
  let reader
  const { port } = await served(t, { minRate: { bytes: 1000, graceMs: 300 } }, (req, res, next) => {
    reader = req
    req.on('error', next)
    req.pause()
    req.on('data', () => {})
    req.on('end', () => res.send('whole'))
  })
  const client = await wire(port)
  client.write(CHUNKED, chunk(Buffer.alloc(200_000)))
  await until(() => reader?.readableLength >= reader?.readableHighWaterMark, 'its buffer is full')
  const since = performance.now()
  await until(() => performance.now() - since > 1500, 'the app takes its time')
  assert.equal(client.text(), '')
  reader.resume()
  client.write(LAST_CHUNK)
  assert.equal((await client.responses(1))[0].body, 'whole')
  client.socket.destroy()
})

test('a client that waits for 100 Continue is not slow', async t => {
  let read
  const { port, server } = await served(t, { minRate: { bytes: 1000, graceMs: 300 } }, (req, res, next) => {
    read = () =>
      req
        .on('error', next)
        .resume()
        .on('end', () => res.send('whole'))
  })
  plimsoll.attach(server)
  const client = await wire(port)
  client.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  await until(() => read, 'the handler runs')
  const since = performance.now()
  await until(() => performance.now() - since > 1000, 'the app takes its time')
  assert.equal(client.text(), '')
  read()
  await until(() => client.text(), 'the client is told to go on')
  client.write('small')
  assert.equal((await client.responses(2))[1].body, 'whole')
  client.socket.destroy()
})

test('a body that has come whole is not slow, however long the app takes', async t => {
  let answer
  const { port } = await served(t, { minRate: { bytes: 1000, graceMs: 100 } }, (_req, res) => {
    answer = () => res.send('late')
  })
  const client = await wire(port)
  client.write(CHUNKED, chunk('x'), LAST_CHUNK)
  const since = performance.now()
  await until(() => performance.now() - since > 1000, 'the app takes its time')
  answer()
  assert.equal((await client.responses(1))[0].body, 'late')
  client.socket.destroy()
})

test('with report it counts, once a request, and refuses nothing', async t => {
  const { port } = await served(t, { minRate: { bytes: 1000, graceMs: 300 }, report: true })
  const before = plimsoll.stats().requests
  const client = await wire(port)
  client.write(CHUNKED)
  await until(() => plimsoll.stats().requests.limitReported > before.limitReported, 'it is counted')
  client.write(chunk('x'), LAST_CHUNK)
  assert.equal((await client.responses(1))[0].body, 'whole')
  const { limitReported, tooSlow } = plimsoll.stats().requests
  assert.deepEqual([limitReported, tooSlow], [before.limitReported + 1, before.tooSlow])
  client.socket.destroy()
})

test('HTTP/2: a stream that is too slow reads a 408, the session lives', async t => {
  const guard = plimsoll.limit({ limit: '1mb', minRate: { bytes: 1000, graceMs: 300 } })
  const server = http2.createServer((req, res) => {
    guard(req, res, error => {
      if (error) return res.writeHead(error.status).end(error.type)
      req.on('error', error => res.writeHead(error.status).end(error.type))
      req.resume().on('end', () => res.end('whole'))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`)
  t.after(() => {
    session.destroy()
    server.close()
  })
  const slow = session.request({ ':method': 'POST' })
  slow.write('x')
  const [response] = await once(slow, 'response')
  assert.deepEqual([response[':status'], await text(slow)], [408, 'request.too.slow'])
  const other = session.request({ ':method': 'POST' })
  other.end('x')
  assert.equal(await text(other), 'whole')
})

test('what is no rate is a TypeError', () => {
  const refuses = (minRate, pattern) => assert.throws(() => plimsoll.limit({ limit: 1, minRate }), pattern)
  refuses('1k', /limit\(\)'s minRate takes a whole number of bytes/)
  refuses(0, /minRate takes a rate of at least one byte per second/)
  refuses({ graceMs: 1 }, /minRate\.bytes takes/)
  refuses({ bytes: 1, graceMs: 0 }, /minRate\.graceMs takes a whole number from 1/)
  refuses({ bytes: 1, grace: 1 }, /has no option 'grace'/)
})
