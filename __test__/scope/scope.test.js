'use strict'

// What is tied to a request ends with it: once, last in first out, however the request ends.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const http2 = require('node:http2')
const { PassThrough, Readable, Transform } = require('node:stream')
const test = require('node:test')
const plimsoll = require('../..')
const { connect, request, serve, until } = require('../support/http.js')

const EXPRESS = [
  ['4', require('express4')],
  ['5', require('express')]
]

/** An app with a scope and what `routes` adds: `{ app, port, log, errors }`. */
async function scoped(t, routes, { express = require('express'), options } = {}) {
  const app = express()
  const log = []
  const errors = []
  app.use(plimsoll.scope(options))
  routes(app, log)
  app.use((error, _req, res, _next) => {
    errors.push(error)
    if (!res.headersSent) res.status(500).end(error.message)
  })
  const server = await serve(app)
  t.after(() => server.close())
  return { ...server, app, log, errors }
}

function findings(route) {
  return plimsoll.stats().findings.filter(finding => finding.kind === 'disposer' && finding.route === route)
}

for (const [version, express] of EXPRESS) {
  test(`what is deferred runs once at the end, last in first out, whether it was finished, aborted or failed (Express ${version})`, async t => {
    const { port, log } = await scoped(
      t,
      (app, log) => {
        const deferring = (req, _res, next) => {
          req.scope.defer(() => log.push('first'))
          req.scope.defer(async () => {
            await null
            log.push('second')
          })
          plimsoll.scope.of(req).defer(() => log.push('third'))
          next()
        }
        app.get('/finish', deferring, (_req, res) => res.end('ok'))
        app.get('/fail', deferring, () => {
          throw new Error('as expected')
        })
        app.get('/wait', deferring, (_req, res) => res.write('x'))
      },
      { express }
    )
    for (const path of ['/finish', '/fail']) {
      await request(port, path)
      await until(() => log.length === 3, `the disposers of ${path}`)
      assert.deepEqual(log.splice(0), ['third', 'second', 'first'])
    }
    const client = await connect(port)
    client.socket.write('GET /wait HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => client.received().includes('x'), 'the beginning of the answer')
    assert.deepEqual(log, [])
    client.socket.destroy()
    await until(() => log.length === 3, 'the disposers of what was aborted')
    assert.deepEqual(log, ['third', 'second', 'first'])
  })
}

test('a disposer that throws or never settles is reported with route and call site, and does not block others', async t => {
  const { port, log } = await scoped(
    t,
    (app, log) => {
      app.get('/bad/:id', (req, res) => {
        req.scope.defer(() => log.push('last'))
        req.scope.defer(() => new Promise(() => {}))
        req.scope.defer(async () => {
          throw Object.assign(new TypeError('a secret'), { code: 'E_BAD' })
        })
        req.scope.use({ close: () => assert.fail('a secret') })
        req.scope.defer(() => {
          throw new RangeError('a secret')
        })
        res.end()
      })
    },
    { options: { waitMs: 50 } }
  )
  const heard = []
  const listener = finding => heard.push(finding)
  const broken = () => {
    throw new Error('as expected')
  }
  const { faults: internalErrors } = plimsoll.stats()
  plimsoll.on('finding', broken)
  plimsoll.on('finding', listener)
  t.after(() => {
    plimsoll.off('finding', listener)
    plimsoll.off('finding', broken)
  })
  await request(port, '/bad/1')
  await until(() => log.length === 1, 'the last disposer')
  const found = findings('GET /bad/:id')
  assert.equal(found.length, 4, JSON.stringify(found))
  const advices = found.map(({ advice }) => advice.split('its disposer ')[1])
  assert.deepEqual(advices, [
    'failed with RangeError',
    'failed with AssertionError ERR_ASSERTION',
    'failed with TypeError E_BAD',
    'did not settle within 50 ms'
  ])
  assert.ok(found.every(({ severity }) => severity === 'warning'))
  // Only the addon reports where a function is defined. Node reports where `use` was called.
  const places = found.filter(({ origin }) => /^__test__[/\\]scope[/\\]scope\.test\.js:\d+/.test(origin))
  assert.equal(places.length, process.env.PLIMSOLL === 'off' ? 1 : 4, JSON.stringify(found))
  const shape = [
    ...[
      'addedBy',
      'advice',
      'bytesPerRequest',
      'class',
      'count',
      'firstSeen',
      'high',
      'holder',
      'hoursToLimit',
      'kind'
    ],
    ...[
      'lastSeen',
      'low',
      'origin',
      'p',
      'package',
      'path',
      'perThousand',
      'route',
      'routes',
      'severity',
      'withdrawnAt'
    ]
  ]
  assert.deepEqual(Object.keys(heard[0]).sort(), shape, 'the shape of stats().findings')
  assert.deepEqual(Object.keys(found[0]).sort(), shape)

  await request(port, '/bad/2')
  await until(() => log.length === 2, 'the last disposer again')
  assert.deepEqual(
    findings('GET /bad/:id').map(({ count }) => count),
    [2, 2, 2, 2]
  )
  assert.equal(heard.length, 4, 'each is told once')
  // A listener that throws is counted, if there is a record, and the other listeners are called.
  if (internalErrors !== undefined) assert.equal(plimsoll.stats().faults, internalErrors + 4)
})

test('use closes a resource with its own method or the given function, and returns it', async t => {
  const ways = ['release', 'close', 'end', 'destroy', 'disconnect', Symbol.dispose, Symbol.asyncDispose]
  const { port, log } = await scoped(t, (app, log) => {
    app.get('/', async (req, res) => {
      for (const way of ways) {
        const resource = { [way]: () => log.push(way) }
        assert.equal(req.scope.use(resource), resource)
      }
      req.scope.use({ release: () => log.push('given back'), end: () => log.push('ended') })
      const bare = {}
      req.scope.use(bare, given => log.push(given === bare && 'told'))
      res.end()
    })
  })
  await request(port, '/')
  await until(() => log.length === ways.length + 2, 'all of them')
  assert.deepEqual(log, ['told', 'given back', ...[...ways].reverse()])
})

test('what cannot be closed is a TypeError that names the ways', async t => {
  const { port, errors } = await scoped(t, app => {
    for (const [name, value] of Object.entries({ plain: {}, promise: Promise.resolve(), null: null, number: 7 })) {
      app.get(`/${name}`, (req, res) => res.end(req.scope.use(value)))
    }
    app.get('/dispose', (req, res) => res.end(req.scope.use({}, 'close')))
    app.get('/defer', (req, res) => res.end(req.scope.defer(7)))
    app.get('/timeout', (req, res) => res.end(req.scope.timeout('1s')))
    app.get('/pipe', (req, res) => req.scope.pipe({}, res))
    app.get('/pipe-one', (req, _res) => req.scope.pipe(Readable.from([])))
  })
  const paths = ['plain', 'promise', 'null', 'number', 'dispose', 'defer', 'timeout', 'pipe', 'pipe-one']
  for (const path of paths) assert.equal((await request(port, `/${path}`)).status, 500)
  assert.ok(errors.every(error => error instanceof TypeError))
  for (const way of ['release()', 'close()', 'end()', 'destroy()', 'disconnect()', 'Symbol.dispose', 'asyncDispose'])
    for (const error of errors.slice(0, 4)) assert.ok(error.message.includes(way), error.message)
  assert.match(errors[1].message, /a promise: await it first/)
  assert.throws(() => plimsoll.scope({ waitMs: 0 }), { name: 'TypeError', message: /scope\(\)'s waitMs/ })
  assert.throws(() => plimsoll.scope({ wait: 1 }), { name: 'TypeError', message: /no option 'wait'/ })
})

test('the store is emptied at the end, and later use is a clear error that leaks nothing', async t => {
  let kept = null
  const { port } = await scoped(t, app => {
    app.get('/', (req, res) => {
      kept = req.scope
      assert.equal(kept.set('user', { id: 1 }).get('user').id, 1)
      assert.deepEqual([kept.has('user'), kept.has('other'), kept.get('other')], [true, false, undefined])
      assert.equal(req.scope, kept)
      kept.defer(() => {
        over = true
      })
      res.end()
    })
  })
  let over = false
  await request(port, '/')
  await until(() => over, 'the end')
  const clear = { code: 'ERR_PLIMSOLL_SCOPE_OVER', message: /the scope ended with its request/ }
  for (const use of [
    () => kept.get('user'),
    () => kept.has('user'),
    () => kept.set('user', 1),
    () => kept.timeout(5),
    () => kept.pipe(Readable.from([]), new PassThrough())
  ])
    assert.throws(use, clear)
  let closed = 0
  assert.throws(() => kept.use({ close: () => closed++ }), clear)
  assert.throws(() => kept.defer(() => closed++), clear)
  assert.equal(closed, 2, 'what came too late is closed at once')
  assert.equal(kept.signal.aborted, true)
  assert.equal(kept.signal.reason.code, 'ERR_PLIMSOLL_SCOPE_OVER')
})

test('signal aborts when the client goes away, and only then; timeout after its time too', async t => {
  const seen = {}
  const { port } = await scoped(t, app => {
    app.get('/finish', (req, res) => {
      seen.finished = [req.scope.signal, req.scope.timeout(60_000)]
      res.on('close', () => setImmediate(() => (seen.closed = true)))
      res.end()
    })
    app.get('/timeout', async (req, res) => {
      const signal = req.scope.timeout(5)
      await once(signal, 'abort')
      res.end(signal.reason.name)
    })
    app.get('/gone', (req, res) => {
      seen.gone = [req.scope.signal, req.scope.timeout(60_000)]
      res.write('x')
    })
  })
  await request(port, '/finish')
  await until(() => seen.closed, 'the end')
  for (const signal of seen.finished) assert.equal(signal.aborted, false)
  assert.equal((await request(port, '/timeout')).body, 'TimeoutError')
  const client = await connect(port)
  client.socket.write('GET /gone HTTP/1.1\r\nHost: a\r\n\r\n')
  await until(() => client.received().includes('x'), 'the beginning of the answer')
  client.socket.destroy()
  await until(() => seen.gone.every(signal => signal.aborted), 'the signals')
  for (const { reason } of seen.gone)
    assert.deepEqual([reason.name, reason.code], ['AbortError', 'ERR_PLIMSOLL_CLIENT_GONE'])
})

test('pipe destroys every stream when the client goes away, and reports other errors', async t => {
  const opened = []
  const { port, errors } = await scoped(t, app => {
    app.get('/file', async (req, res) => {
      const file = fs.createReadStream('/dev/zero')
      const through = new Transform({ transform: (chunk, _encoding, done) => done(null, chunk) })
      opened.push(file, through)
      await req.scope.pipe(file, through, res)
      opened.push('settled')
    })
    app.get('/whole', (req, res) => void req.scope.pipe(Readable.from(['a', 'b']), res))
    app.get('/missing', (req, res, next) => {
      req.scope.pipe(fs.createReadStream('/nowhere/at/all'), res).catch(next)
    })
    app.get('/unheard', (req, res) => void req.scope.pipe(fs.createReadStream('/nowhere/at/all'), res))
  })
  assert.equal((await request(port, '/whole')).body, 'ab')
  const client = await connect(port)
  client.socket.write('GET /file HTTP/1.1\r\nHost: a\r\n\r\n')
  await until(() => client.received().length > 65_536, 'the beginning of the file')
  client.socket.destroy()
  const [file, through] = opened
  await until(() => file.closed && through.destroyed && opened[2] === 'settled', 'both closed')
  await assert.rejects(request(port, '/missing'))
  const error = await until(() => errors[0], 'the error')
  assert.equal(error.code, 'ENOENT')
  await assert.rejects(request(port, '/unheard'))
})

test("a req.scope that other code has set stays, and other requests' prototype has none", async t => {
  const app = require('express')()
  app.use((req, _res, next) => {
    req.scope = 'theirs'
    next()
  })
  app.use(plimsoll.scope())
  app.get('/', (req, res) => {
    plimsoll.scope.of(req).defer(() => {})
    res.end(req.scope)
  })
  const { port, close } = await serve(app)
  t.after(close)
  assert.equal((await request(port, '/')).body, 'theirs')

  const bare = await serve(
    http.createServer((req, res) => {
      assert.throws(() => plimsoll.scope.of(req), /no scope\. Add app\.use\(plimsoll\.scope\(\)\)/)
      res.end(String(req.scope))
    })
  )
  t.after(bare.close)
  assert.equal((await request(bare.port, '/')).body, 'undefined')
})

test('it works with HTTP/2 and plain http, and no scope is created for a request that does not use it', async t => {
  const middleware = plimsoll.scope()
  const log = []
  const handler = (req, res) =>
    middleware(req, res, () => {
      if (req.url === '/used') req.scope.defer(() => log.push(req.httpVersion))
      res.end()
    })
  const { port, close } = await serve(http.createServer(handler))
  t.after(close)
  for (const path of ['/', '/used']) await request(port, path)
  await until(() => log.length === 1, 'the deferred')

  const server = http2.createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`)
  t.after(() => {
    client.destroy()
    server.close()
  })
  client.request({ ':path': '/used' }).resume().end()
  await until(() => log.length === 2, 'the deferred of HTTP/2')
  assert.deepEqual(log, ['1.1', '2.0'])
})

test('a request that waits for a pipelined one that is cut ends as well', async t => {
  const { port, log } = await scoped(t, (app, log) => {
    app.get('/:id', (req, res) => {
      req.scope.defer(() => log.push(req.params.id))
      if (req.params.id === '0') setTimeout(() => res.write('x'), 5)
      else res.write('x')
    })
  })
  const client = await connect(port)
  client.socket.write(Array.from({ length: 5 }, (_, id) => `GET /${id} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''))
  await until(() => client.received().includes('x'), 'the first answer')
  client.socket.destroy()
  await until(() => log.length === 5, 'all five')
  assert.deepEqual(log.sort(), ['0', '1', '2', '3', '4'])
})

test('under an abort storm every disposer runs exactly once', async t => {
  const REQUESTS = 2000
  const ran = new Map()
  const { port, server } = await scoped(t, app => {
    app.get('/:id', async (req, res) => {
      const { id } = req.params
      for (const at of [0, 1, 2]) {
        ran.set(`${id}/${at}`, 0)
        try {
          req.scope.defer(() => ran.set(`${id}/${at}`, ran.get(`${id}/${at}`) + 1))
        } catch (error) {
          assert.equal(error.code, 'ERR_PLIMSOLL_SCOPE_OVER')
        }
        if (at === 1) await new Promise(resolve => setTimeout(resolve, Math.random() * 10))
        if (!res.destroyed) res.write('x'.repeat(1000))
      }
      res.end()
    })
  })
  let accepted = 0
  let closed = 0
  server.on('connection', socket => {
    accepted += 1
    socket.on('close', () => {
      closed += 1
    })
  })
  let sent = 0
  async function client() {
    while (sent < REQUESTS) {
      const id = sent++
      const { socket } = await connect(port)
      socket.write(`GET /${id} HTTP/1.1\r\nHost: a\r\n\r\n`)
      await new Promise(resolve => setTimeout(resolve, Math.random() * 12))
      socket.destroy()
    }
  }
  await Promise.all(Array.from({ length: 40 }, client))
  // Before that, a request may still arrive.
  await until(() => accepted === sent && closed === sent, 'all connections have come and gone')
  const entered = () => new Set([...ran.keys()].map(key => key.split('/')[0])).size
  await until(() => ran.size === 3 * entered() && [...ran.values()].every(times => times > 0), 'all disposers')
  assert.ok(entered() > REQUESTS / 2, `${entered()} requests came to the handler`)
  await new Promise(resolve => setTimeout(resolve, 100))
  assert.ok([...ran.values()].every(times => times === 1))
})

test('all of that holds without a binary', { skip: process.env.PLIMSOLL === 'off' }, () => {
  const env = { ...process.env, PLIMSOLL: 'off', NODE_TEST_CONTEXT: '' }
  execFileSync(process.execPath, ['--test', __filename], { env, encoding: 'utf8' })
})

test('what on takes is checked', () => {
  assert.throws(() => plimsoll.on('found', () => {}), { name: 'TypeError', message: /on\(\)'s event takes 'finding'/ })
  assert.throws(() => plimsoll.on('finding', 'log'), { name: 'TypeError', message: /a function/ })
})
