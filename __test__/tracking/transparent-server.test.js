'use strict'

// Servers and requests of every kind pass all middleware: subclasses, requests that are injected or emitted by hand,
// mocks that are plain objects, HTTP/2, and events that others emit with another `this`. A request without a connection
// is passed on. Nothing throws, and nothing counts as an internal error.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { EventEmitter, once } = require('node:events')
const http = require('node:http')
const http2 = require('node:http2')
const { Duplex, Readable } = require('node:stream')
const { text } = require('node:stream/consumers')
const test = require('node:test')
const { gzipSync } = require('node:zlib')
const express = require('express')
const express4 = require('express4')
const inject = require('light-my-request')
const mocks = require('node-mocks-http')
const plimsoll = require('../..')
const internalErrors = require('../../lib/core/internal-errors.js')
const { serve, request, until } = require('../support/http.js')
const { wire } = require('../support/uploads.js')

const LIMIT = 1000
const JSON_TYPE = { 'content-type': 'application/json' }
const versions = { 'Express 5': express, 'Express 4': express4 }

function everything() {
  return [
    plimsoll({ recorder: false, layers: true, async: true, watch: true, largeResponses: true }),
    plimsoll.limit({ limit: LIMIT, budget: '1gb', minRate: 1, inflate: true }),
    plimsoll.shed(),
    plimsoll.scope()
  ]
}

function appOf(framework) {
  const app = framework()
  for (const each of everything()) app.use(each)
  app.use(framework.json())
  app.all('/echo', (req, res) => res.json({ method: req.method, body: req.body ?? null, scope: typeof req.scope }))
  app.use((error, _req, res, _next) => res.status(error.status ?? 500).json({ type: error.type }))
  return app
}

/** A chain without a framework. `next` gets the error of a refusal. */
function run(middleware, req, res, next) {
  const [first, ...others] = middleware
  if (first === undefined) return next()
  first(req, res, error => (error ? next(error) : run(others, req, res, next)))
}

const inFlight = () => plimsoll.stats().requests.inFlight
const held = () => plimsoll.stats().requests.bodyHeldBytes

test.beforeEach(() => plimsoll.watchListeners())
test.afterEach(async () => {
  await until(() => inFlight() === 0 && held() === 0, 'every request has ended, and holds nothing of the budget')
  assert.equal(internalErrors.seen.last, null)
})

for (const [version, framework] of Object.entries(versions)) {
  test.describe(version, () => {
    test('a subclass of Server with an emit of its own', async t => {
      class Own extends http.Server {
        emit(event, ...args) {
          return super.emit(event, ...args)
        }
      }
      const { port, close } = await serve(plimsoll.attach(new Own(appOf(framework))))
      t.after(close)
      const { status, body } = await request(port, '/echo', { method: 'POST', headers: JSON_TYPE, body: '{"a":1}' })
      assert.deepEqual([status, JSON.parse(body)], [200, { method: 'POST', body: { a: 1 }, scope: 'object' }])
    })

    test('a request that is emitted by hand, on another server', async t => {
      const inner = http.createServer(appOf(framework))
      const { port, close } = await serve(http.createServer((req, res) => inner.emit('request', req, res)))
      t.after(close)
      assert.equal((await request(port, '/echo')).status, 200)
      assert.equal(
        (await request(port, '/echo', { method: 'POST', headers: JSON_TYPE, body: 'x'.repeat(2000) })).status,
        413
      )
    })

    test('a request that is emitted on its own server a second time', async t => {
      const app = appOf(framework)
      const server = http.createServer((req, res) => {
        if (req.headers['x-again'] === undefined) return app(req, res)
        delete req.headers['x-again']
        run(everything(), req, res, () => server.emit('request', req, res))
      })
      const { port, close } = await serve(server)
      t.after(close)
      const headers = { ...JSON_TYPE, 'x-again': '1' }
      const { status, body } = await request(port, '/echo', { method: 'POST', headers, body: '[1]' })
      assert.deepEqual([status, JSON.parse(body).body], [200, [1]])
    })

    test('a connection that is handed to the server', async t => {
      const { server, close } = await serve(appOf(framework))
      t.after(close)
      const [client, served] = pair()
      server.emit('connection', served)
      client.write('GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
      assert.match(await text(client), /^HTTP\/1\.1 200 OK/)
    })

    test('light-my-request: bodies, compressed ones, and a refusal', async () => {
      const app = appOf(framework)
      const post = (payload, headers = {}) =>
        inject(app, { method: 'POST', url: '/echo', payload, headers: { ...JSON_TYPE, ...headers } })
      assert.deepEqual((await post('{"a":1}')).json(), { method: 'POST', body: { a: 1 }, scope: 'object' })
      const zipped = await post(gzipSync('{"b":2}'), { 'content-encoding': 'gzip' })
      assert.deepEqual(zipped.json().body, { b: 2 })
      const refused = await post(JSON.stringify('x'.repeat(2000)))
      assert.deepEqual([refused.statusCode, refused.json()], [413, { type: 'entity.too.large' }])
      assert.equal((await inject(app, '/nothing')).statusCode, 404)
    })

    test('node-mocks-http: whole and plain mocks', async () => {
      for (const options of [{}, { eventEmitter: EventEmitter }]) {
        const req = mocks.createRequest({ method: 'GET', url: '/echo', headers: { host: 'x' } })
        const res = mocks.createResponse({ req, ...options })
        appOf(framework)(req, res)
        await until(() => res._isEndCalled(), 'the app answers')
        assert.equal(res.statusCode, 200)
      }
    })
  })
}

test.describe('plain objects instead of requests', () => {
  const shapes = {
    'nothing at all': () => [{}, {}],
    'a method and a URL': () => [{ method: 'GET', url: '/' }, {}],
    'a URL that is no string': () => [{ method: 'GET', url: 7, headers: {} }, {}],
    'frozen ones': () => [
      Object.freeze({ method: 'GET', url: '/', headers: {}, socket: new EventEmitter() }),
      new EventEmitter()
    ],
    'a socket without methods': () => [{ method: 'GET', url: '/', headers: {}, socket: {} }, new EventEmitter()],
    'a frozen socket': () => [
      { method: 'GET', url: '/', headers: {}, socket: Object.freeze(new EventEmitter()) },
      new EventEmitter()
    ],
    'a response without methods': () => [{ method: 'GET', url: '/', headers: {}, socket: new EventEmitter() }, {}],
    'a declared body and no stream': () => [{ method: 'POST', url: '/', headers: { 'content-length': '10' } }, {}],
    'a stream of its own': () => [
      Object.assign(Readable.from(['x']), { method: 'POST', url: '/', headers: { 'content-length': '1' } }),
      new EventEmitter()
    ]
  }
  for (const [shape, make] of Object.entries(shapes)) {
    test(`${shape}: passed on`, () => {
      const [req, res] = make()
      let passed = 0
      run(everything(), req, res, error => {
        assert.equal(error, undefined)
        passed += 1
      })
      assert.equal(passed, 1)
      for (const prototype of [Object.prototype, EventEmitter.prototype, Readable.prototype]) {
        assert.equal('scope' in prototype, false)
      }
      if (Object.isExtensible(req)) assert.equal(typeof req.scope, 'object')
      res.emit?.('finish')
      res.emit?.('close')
    })
  }

  test('a declared body over the limit is refused, though it is no stream', () => {
    const req = { method: 'POST', url: '/', headers: { 'content-length': '2000' } }
    let refusal
    run(everything(), req, {}, error => {
      refusal = error
    })
    assert.equal(refusal.status, 413)
  })
})

test('HTTP/2 in compatibility mode: bodies, a refusal, and a client that goes away', async t => {
  const server = http2.createServer((req, res) => {
    run(everything(), req, res, error => {
      if (error) return res.writeHead(error.status).end()
      if (req.url === '/held') return
      text(req).then(
        body => res.end(`${body} ${typeof req.scope}`),
        () => {}
      )
    })
  })
  plimsoll.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`)
  const send = async (path, body, headers) => {
    const stream = client.request({ ':method': 'POST', ':path': path, ...headers })
    stream.on('error', () => {})
    stream.end(body)
    const [head] = await once(stream, 'response')
    return [head[':status'], await text(stream)]
  }
  assert.deepEqual(await send('/', 'body'), [200, 'body object'])
  assert.deepEqual(await send('/', 'asked', { expect: '100-continue' }), [200, 'asked object'])
  assert.equal((await send('/', 'x'.repeat(2000)))[0], 413)
  client.request({ ':path': '/held' }).on('error', () => {})
  await until(() => inFlight() === 1, 'the request is there')
  client.destroy()
})

test("listeners of ours that others call with another 'this' do no harm", async t => {
  const events = ['close', 'finish', 'newListener', 'data', 'end', 'error', 'timeout']
  let called = 0
  const app = (req, res) => {
    run(everything(), req, res, error => {
      for (const emitter of [req, res, req.socket]) {
        for (const event of events) {
          for (const listener of emitter.listeners(event)) {
            if (!isOurs(listener)) continue
            called += 1
            listener.call(new EventEmitter(), 'finish')
          }
        }
      }
      if (error) return res.writeHead(error.status).end()
      req.resume().on('end', () => res.end('whole'))
    })
  }
  const { port, close } = await serve(app)
  t.after(close)
  assert.equal((await request(port, '/', { method: 'POST', body: 'x' })).body, 'whole')
  assert.equal((await request(port, '/', { method: 'POST', body: 'x'.repeat(2000) })).status, 413)
  assert.ok(called > 0)
})

/** By the place of its definition: listeners of Node and of the test are theirs. */
function isOurs(listener) {
  const { native } = require('../../lib/core/addon.js')
  const script = native.functionOrigin(listener.listener ?? listener)?.script ?? ''
  return script.includes('/lib/') && !script.startsWith('node:') && !script.includes('node_modules')
}

test("a 'checkContinue' listener that is called with another 'this' serves its own server", async t => {
  const app = (req, res) => req.resume().on('end', () => res.end('whole'))
  const { port, server, close } = await serve(app)
  t.after(close)
  plimsoll.attach(server)
  const [ours] = server.listeners('checkContinue')
  server.removeAllListeners('checkContinue')
  server.on('checkContinue', (req, res) => Reflect.apply(ours, undefined, [req, res]))
  const client = await wire(port)
  client.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  client.write('small')
  const [, { status, body }] = await client.responses(2)
  assert.deepEqual([status, body], [200, 'whole'])
  client.socket.destroy()
})

test('push of a tapped request serves other streams too', async t => {
  const { port, close } = await serve((req, res) => {
    run(everything(), req, res, () => {
      const other = new Readable({ read() {} })
      req.push.call(other, 'other')
      req.push.call(other, null)
      text(other).then(body => res.end(body))
    })
  })
  t.after(close)
  assert.equal((await request(port, '/', { method: 'POST', body: 'x' })).body, 'other')
})

test('req.scope is undefined on what is no request', () => {
  plimsoll.scope()
  const { get } = Object.getOwnPropertyDescriptor(http.IncomingMessage.prototype, 'scope')
  for (const value of [undefined, null, 7, 'x', {}, Object.create(http.IncomingMessage.prototype)]) {
    assert.equal(get.call(value), undefined)
  }
})

test('an attached server answers a success as one that is not attached, and refuses before a byte is uploaded', async t => {
  const answer = (req, res) => res.writeHead(req.url === '/refuses' ? 401 : 200, { 'content-length': 0 }).end()
  const seen = []
  for (const attached of [false, true]) {
    const { port, server, close } = await serve(answer)
    t.after(close)
    if (attached) plimsoll.attach(server)
    for (const [method, path, headers] of [
      ['POST', '/', 'Content-Length: 5\r\n'],
      ['GET', '/', ''],
      ['POST', '/refuses', 'Content-Length: 5\r\n']
    ]) {
      const client = await wire(port)
      client.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n${headers}\r\n`)
      await until(() => /HTTP\/1\.1 (200|401)/.test(client.text()), 'the answer is there')
      seen.push(client.text().replace(/^Date: .*\r\n/m, ''))
      client.socket.destroy()
    }
  }
  const [bare, attached] = [seen.slice(0, 3), seen.slice(3)]
  assert.deepEqual(attached.slice(0, 2), bare.slice(0, 2))
  assert.match(bare[2], /^HTTP\/1\.1 100 Continue/)
  assert.match(attached[2], /^HTTP\/1\.1 401/)
})

/** Two ends of a connection that is not a socket. */
function pair() {
  const ends = [0, 1].map(
    at =>
      new Duplex({
        read() {},
        write(chunk, _encoding, callback) {
          ends[1 - at].push(chunk)
          callback()
        },
        final(callback) {
          ends[1 - at].push(null)
          callback()
        }
      })
  )
  return ends
}
