'use strict'

// Limits by content type, by route and by function, and which of several decides.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http2 = require('node:http2')
const { text } = require('node:stream/consumers')
const test = require('node:test')
const connect = require('connect')
const plimsoll = require('../..')
const internalErrors = require('../../lib/core/internal-errors.js')
const { serve, until } = require('../support/http.js')
const { errorPage, upload, wire, chunk } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }

async function served(t, app) {
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

function read(req, res, next) {
  let bytes = 0
  req.on('data', piece => {
    bytes += piece.length
  })
  req.on('end', () => res.end(String(bytes)))
  req.on('error', next)
}

/** Checks that exactly `limit` bytes pass at `path` and one more does not, declared or counted. */
async function bounds(port, limit, { path = '/', method, headers = {} } = {}) {
  for (const [bytes, status] of [
    [limit, 200],
    [limit + 1, 413]
  ]) {
    for (const length of [{ 'content-length': bytes }, {}]) {
      const pieces = [Buffer.alloc(bytes)]
      const answer = await upload(port, path, { method, headers: { ...headers, ...length }, pieces })
      const what = `${method ?? 'POST'} ${path} ${JSON.stringify(headers)}: ${bytes} bytes, ${JSON.stringify(length)}`
      assert.equal(answer.status, status, what)
      if (status === 413) assert.equal(answer.json.limit, limit, what)
    }
  }
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    function behind(...guards) {
      const app = express()
      for (const guard of guards) app.use(guard)
      app.use(read)
      app.use(errorPage([]))
      return app
    }

    test('a limit by content type, whatever its case and parameters; the default for all others and none', async t => {
      const sizes = { 'application/json': 300, 'multipart/form-data': '1kb', 'image/*': 500, default: 100 }
      for (const given of [sizes, { limit: sizes }]) {
        const { port } = await served(t, behind(plimsoll.limit(given)))
        for (const [type, limit] of [
          ['application/json', 300],
          ['Application/JSON; charset=utf-8', 300],
          ['application/json ;x', 300],
          ['multipart/form-data; boundary=b', 1024],
          ['image/png', 500],
          ['text/plain', 100],
          ['application/json+x', 100],
          ['nonsense', 100],
          ['', 100],
          [undefined, 100]
        ]) {
          await bounds(port, limit, { headers: type === undefined ? {} : { 'content-type': type } })
        }
      }
    })

    test('a limit by route, as Express would match it, before a byte is read', async t => {
      const guard = plimsoll.limit({
        limit: 100,
        routes: {
          'POST /uploads/:id': 300,
          'PUT /uploads/:id': { 'image/*': 400, default: 50 },
          '/files/*path': 500,
          '/': 200,
          '/Login': 10
        }
      })
      const { port } = await served(t, behind(guard))
      for (const [path, limit, method, type] of [
        ['/uploads/7', 300],
        // No route shows whether this app distinguishes cases and slashes, so the smaller of the two applies.
        ['/UPLOADS/7', 100],
        ['/uploads/7/', 100],
        ['//uploads/7', 100],
        ['/uploads/7', 50, 'PUT'],
        ['/uploads/7', 400, 'PUT', 'image/png'],
        ['/uploads/7', 100, 'PATCH'],
        ['/uploads', 100],
        ['/uploads/', 100],
        ['/uploads/7/x', 100],
        ['/files/a/b/c', 500, 'PATCH'],
        ['/files/', 500],
        ['/filesystem', 100],
        ['/', 200],
        ['/?a', 200],
        ['/login', 10],
        ['/login/', 10],
        ['/login#x', 10],
        ['http://elsewhere/login', 10]
      ]) {
        await bounds(port, limit, { path, method, headers: type ? { 'content-type': type } : {} })
      }
    })

    test('a limit by route holds below a mount, with the whole path', async t => {
      const app = express()
      app.use('/api', plimsoll.limit({ limit: 100, routes: { '/api/:id': 300 } }))
      app.use(read)
      app.use(errorPage([]))
      const { port } = await served(t, app)
      await bounds(port, 300, { path: '/api/7' })
      await bounds(port, 100, { path: '/api/7/8' })
    })

    test('a limit by function', async t => {
      const app = behind(plimsoll.limit(req => (req.headers['x-plan'] === 'large' ? '1kb' : 100)))
      const { port } = await served(t, app)
      await bounds(port, 100)
      await bounds(port, 1024, { headers: { 'x-plan': 'large' } })
    })

    test('a function that throws or returns no size falls back, refuses where there is nothing to fall back on, and is reported once', async t => {
      const warnings = []
      const warned = warning => warnings.push(warning.message)
      process.on('warning', warned)
      t.after(() => process.off('warning', warned))
      const failing = [
        () => {
          throw new Error('no plan')
        },
        () => '10m',
        () => -1,
        () => undefined,
        () => Promise.resolve(1000)
      ]
      for (const [index, limit] of failing.entries()) {
        const before = internalErrors.seen.count
        const { port } = await served(t, behind(plimsoll.limit({ limit, fallback: 100 })))
        await bounds(port, 100)
        const none = await served(t, behind(plimsoll.limit({ limit: 1000, routes: { '/none': limit } })))
        assert.equal((await upload(none.port, '/none', { pieces: ['x'] })).status, 413)
        assert.ok(internalErrors.seen.count >= before + 5, `${index}`)
      }
      const about = warnings.filter(message => message.includes("in the function of limit()'s limit"))
      // Once for each process, not for each app.
      assert.deepEqual(
        about.map(message => message.includes('no plan')),
        version === 'express 5' ? [true] : []
      )
    })

    test('deferred, the nearest limit decides, and the outer one where there is no other', async t => {
      const app = express()
      app.use(plimsoll.limit({ limit: 100, defer: true }))
      app.post('/larger', plimsoll.limit(300), read)
      app.post('/smaller', plimsoll.limit(50), read)
      app.post('/later', plimsoll.limit({ limit: 300, defer: true }), read)
      app.post('/lowered', plimsoll.limit(300), plimsoll.limit(200), read)
      app.post('/parser', plimsoll.limit({ limit: 300, defer: true }), express.text({ type: () => true }), (req, res) =>
        res.end(String(req.body?.length ?? 0))
      )
      app.post('/', (req, res, next) => setImmediate(read, req, res, next))
      app.use(errorPage([]))
      const { port } = await served(t, app)
      await bounds(port, 100)
      await bounds(port, 300, { path: '/larger' })
      await bounds(port, 50, { path: '/smaller' })
      await bounds(port, 300, { path: '/later' })
      await bounds(port, 200, { path: '/lowered' })
      await bounds(port, 300, { path: '/parser' })
    })

    test('a limit that is not deferred can only be lowered, by a deferred one too', async t => {
      for (const near of [50, 300]) {
        const { port } = await served(t, behind(plimsoll.limit(100), plimsoll.limit({ limit: near, defer: true })))
        await bounds(port, Math.min(100, near))
      }
    })

    test('deferred, a body without a reader is not refused', async t => {
      const before = plimsoll.stats().requests.limited
      const app = express()
      app.use(plimsoll.limit({ limit: 10, defer: true }))
      app.post('/', (_req, res) => res.end('not read'))
      const { port } = await served(t, app)
      for (const headers of [{ 'content-length': 5000 }, {}]) {
        assert.equal((await upload(port, '/', { headers, pieces: [Buffer.alloc(5000)] })).body, 'not read')
      }
      assert.equal(plimsoll.stats().requests.limited, before)
    })

    test('deferred, it still bounds what a handler reads after it has answered', async t => {
      let seen = null
      const app = express()
      app.use(plimsoll.limit({ limit: 1000, defer: true }))
      app.post('/', (req, res) => {
        req.on('error', error => {
          seen = error
        })
        res.status(202).json({})
        req.on('data', () => {})
      })
      const { port } = await served(t, app)
      const client = await wire(port)
      client.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('x'.repeat(500)))
      assert.equal((await client.responses(1))[0].status, 202)
      client.write(chunk('x'.repeat(501)))
      await until(() => seen, 'the reader is told')
      assert.equal(seen.type, 'entity.too.large')
      client.socket.destroy()
    })

    test('reports by type and route, deferred or not, and refuses nothing', async t => {
      for (const defer of [true, false]) {
        const before = plimsoll.stats().requests
        const sizes = { 'text/plain': 10, default: 1000 }
        const guard = plimsoll.limit({ limit: sizes, routes: { '/r': 20 }, defer, report: true })
        const { port } = await served(t, behind(guard))
        for (const headers of [{ 'content-length': 100 }, {}]) {
          const pieces = [Buffer.alloc(100)]
          for (const path of ['/', '/r']) {
            const answer = await upload(port, path, { headers: { ...headers, 'content-type': 'text/plain' }, pieces })
            assert.deepEqual([answer.status, answer.body], [200, '100'])
          }
        }
        const { limited, limitReported } = plimsoll.stats().requests
        assert.deepEqual([limited, limitReported], [before.limited, before.limitReported + 4])
      }
    })
  })
}

test('connect and HTTP/2 have limits by type and route, deferred ones and bodies without a length too', async t => {
  const app = connect()
  app.use(plimsoll.limit({ limit: { 'text/plain': 300, default: 100 }, routes: { '/near': 100 }, defer: true }))
  app.use('/near', plimsoll.limit(200))
  app.use((req, res, next) => read(req, res, next))
  app.use((error, _req, res, _next) => {
    res.statusCode = error.status
    res.end(String(error.limit))
  })
  const server = http2.createServer(app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`)
  t.after(() => {
    session.destroy()
    server.close()
  })
  for (const [path, type, limit] of [
    ['/', 'text/plain', 300],
    ['/', 'text/html', 100],
    ['/near', 'text/plain', 200]
  ]) {
    for (const bytes of [limit, limit + 1]) {
      for (const length of [{ 'content-length': bytes }, {}]) {
        const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': type, ...length })
        stream.end(Buffer.alloc(bytes))
        const [response] = await once(stream, 'response')
        const wanted = bytes > limit ? [413, String(limit)] : [200, String(bytes)]
        assert.deepEqual([response[':status'], await text(stream)], wanted, `${path} ${type} ${bytes}`)
      }
    }
  }
})

test('what is no limit is a TypeError that says what is taken', () => {
  const refuses = (given, ...parts) =>
    assert.throws(
      () => plimsoll.limit(given),
      error => {
        assert.ok(error instanceof TypeError)
        for (const part of parts) assert.ok(error.message.includes(part), `${part} in: ${error.message}`)
        return true
      }
    )
  refuses({ 'application/json': '1mb' }, "a 'default' for all other content types")
  refuses({ 'application/json': '1m', default: 1 }, 'for "application/json" takes', "got '1m'")
  refuses({ limit: { json: '1mb', default: 1 } }, "content types like 'application/json'", "got 'json'")
  refuses({ limit: { 'a/b/c': 1, default: 1 } }, "got 'a/b/c'")
  refuses({ 'application/json': 1, default: 1, report: true }, 'for "report" takes')
  for (const route of ['uploads', 'FETCH /x', 'POST  /x', 'POST /x y', '/a/:id?', '/a/*/b', '/:a-:b', '/{a}', '/(a)']) {
    refuses({ limit: 1, routes: { [route]: 1 } }, "limit()'s routes takes keys like", `got '${route}'`)
  }
  refuses({ limit: 1, routes: { '/a': '1m' } }, 'limit()\'s routes for "/a" takes', "got '1m'")
  refuses({ limit: 1, routes: ['/a'] }, "limit()'s routes takes an object")
  refuses({ routes: { '/a': 1 } }, "limit()'s limit takes", 'got undefined')
  refuses({ limit: 1, defer: 'yes' }, "limit()'s defer takes true or false")
  refuses({ limit: 1, fallback: 1 }, "limit()'s fallback takes a size, together with a function")
  refuses({ limit: () => 1, fallback: '1m' }, "limit()'s fallback takes")
})
