'use strict'

// What `limit()` refuses and what it lets pass, in any kind of app.

// Otherwise Express and connect print the errors.
process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http = require('node:http')
const http2 = require('node:http2')
const { text } = require('node:stream/consumers')
const test = require('node:test')
const connect = require('connect')
const plimsoll = require('../..')
const { serve, request, until } = require('../support/http.js')
const { errorPage, upload, wire, chunk, LAST_CHUNK } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }

plimsoll()

/** Serves `app` for the time of a test. */
async function served(t, app) {
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

/** Reads the whole body and responds with its length. Passes the stream's error to `next`. */
function read(req, res, next) {
  let bytes = 0
  req.on('data', piece => {
    bytes += piece.length
  })
  req.on('end', () => res.json({ bytes }))
  req.on('error', next)
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    const tag = version.replace(' ', '-')

    /** An app with `guards` before `handler` at /, and an error page of its own. */
    function guarded(guards, handler = read) {
      const seen = { errors: [], handled: 0 }
      const app = express()
      for (const guard of guards) app.use(guard)
      app.post('/', (req, res, next) => {
        seen.handled += 1
        handler(req, res, next)
      })
      app.use(errorPage(seen.errors))
      return { app, seen }
    }

    test('refuses a declared length over the limit before a byte of the body is read', async t => {
      const chunks = []
      const spy = (req, _res, next) => {
        const { push } = req
        req.push = function (piece, ...rest) {
          chunks.push(piece)
          return push.call(this, piece, ...rest)
        }
        next()
      }
      const { app, seen } = guarded([spy, plimsoll.limit('1kb'), express.raw({ type: () => true })])
      const { port } = await served(t, app)
      const client = await wire(port)
      client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n')
      const [response] = await client.responses(1)
      assert.equal(response.status, 413)
      assert.deepEqual(chunks, [], 'the parser has seen nothing')
      assert.equal(seen.handled, 0)
      client.socket.destroy()
    })

    test("hands the app's error page an error in the shape of http-errors, with the declared length", async t => {
      const { app, seen } = guarded([plimsoll.limit('1kb')])
      const { port } = await served(t, app)
      const { status, json } = await upload(port, '/', {
        headers: { 'content-length': 1025 },
        pieces: [Buffer.alloc(1025)]
      })
      assert.equal(status, 413)
      assert.deepEqual(json, {
        page: 'own',
        message: 'request entity too large',
        type: 'entity.too.large',
        limit: 1024,
        expected: 1025,
        length: 1025
      })
      const [error] = seen.errors
      assert.ok(error instanceof Error)
      assert.deepEqual([error.status, error.statusCode, error.expose], [413, 413, true])
      assert.equal('received' in error, false)
    })

    test('gives a counted body the same error, with the received bytes instead of the length', async t => {
      const { app, seen } = guarded([plimsoll.limit(1000)])
      const { port } = await served(t, app)
      const { status, json } = await upload(port, '/', { pieces: [Buffer.alloc(1000), Buffer.alloc(1)] })
      assert.equal(status, 413)
      assert.deepEqual(json, {
        page: 'own',
        message: 'request entity too large',
        type: 'entity.too.large',
        limit: 1000,
        received: 1001
      })
      const [error] = seen.errors
      assert.deepEqual([error.status, error.statusCode, error.expose], [413, 413, true])
      assert.ok(!('length' in error) && !('expected' in error))
    })

    test('passes exactly the limit and refuses one byte more, declared or counted', async t => {
      const { app } = guarded([plimsoll.limit(5000)])
      const { port } = await served(t, app)
      for (const headers of [{ 'content-length': 5000 }, {}]) {
        const { status, json } = await upload(port, '/', { headers, pieces: [Buffer.alloc(5000)] })
        assert.deepEqual([status, json], [200, { bytes: 5000 }])
      }
      for (const headers of [{ 'content-length': 5001 }, {}]) {
        assert.equal((await upload(port, '/', { headers, pieces: [Buffer.alloc(5001)] })).status, 413)
      }
    })

    test('lets a request without a body pass a limit of 0, and nothing else', async t => {
      const { app } = guarded([plimsoll.limit(0)])
      const { port } = await served(t, app)
      for (const headers of [{ 'content-length': 0 }, {}]) {
        assert.deepEqual((await upload(port, '/', { headers })).json, { bytes: 0 })
      }
      for (const headers of [{ 'content-length': 1 }, {}]) {
        assert.equal((await upload(port, '/', { headers, pieces: ['x'] })).status, 413)
      }
    })

    test("answers with Express's default page at once where the app has no error handler", async t => {
      const app = express()
      app.use(plimsoll.limit('1kb'))
      app.use(express.raw({ type: () => true }))
      app.post('/', (_req, res) => res.end())
      const { port } = await served(t, app)
      // The body never ends: a handler that waits for the end does not respond.
      for (const [headers, body] of [
        ['Content-Length: 1000000000', ''],
        ['Transfer-Encoding: chunked', chunk('x'.repeat(1025))]
      ]) {
        const client = await wire(port)
        client.write(`POST / HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`, body)
        const [response] = await client.responses(1)
        assert.equal(response.status, 413)
        assert.match(response.headers['content-type'], /text\/html/)
        assert.match(response.body, /PayloadTooLargeError: request entity too large/)
        client.socket.destroy()
      }
    })

    test('waits for an error page that is made asynchronously', async t => {
      const app = express()
      app.use(plimsoll.limit(100))
      app.post('/', read)
      app.use((error, _req, res, _next) => {
        setTimeout(() => res.status(error.status).json({ late: error.type }), 50)
      })
      const { port } = await served(t, app)
      for (const headers of [{ 'content-length': 101 }, {}]) {
        const { status, json } = await upload(port, '/', { headers, pieces: [Buffer.alloc(101)] })
        assert.deepEqual([status, json], [413, { late: 'entity.too.large' }])
      }
    })

    test('counts first what the stream has buffered while a middleware in front awaited something', async t => {
      const buffered = (req, _res, next) => {
        until(() => req.readableLength >= 900, 'the body has been buffered').then(() => next(), next)
      }
      const { app, seen } = guarded([buffered, plimsoll.limit(1000)])
      const { port } = await served(t, app)
      const head = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'

      const over = await wire(port)
      over.write(head, chunk('x'.repeat(1001)))
      const [refused] = await over.responses(1)
      assert.equal(refused.status, 413)
      assert.equal(seen.errors[0].received, 1001)
      assert.equal(seen.handled, 0, 'the chain did not go on')
      over.socket.destroy()

      const later = await wire(port)
      later.write(head, chunk('x'.repeat(900)))
      await until(() => seen.handled === 1, 'what is buffered is within the limit')
      later.write(chunk('x'.repeat(101)))
      assert.equal((await later.responses(1))[0].status, 413, 'with what comes later it is not')
      later.socket.destroy()

      const exact = await wire(port)
      exact.write(head, chunk('x'.repeat(900)), chunk('x'.repeat(100)), LAST_CHUNK)
      assert.deepEqual(JSON.parse((await exact.responses(1))[0].body), { bytes: 1000 })
      exact.socket.destroy()
    })

    test('a second limit can lower the first and never raise it', async t => {
      for (const [first, second] of [
        [1000, 300],
        [300, 1000]
      ]) {
        const { app } = guarded([plimsoll.limit(first), plimsoll.limit(second)])
        const { port } = await served(t, app)
        for (const headers of [{ 'content-length': 301 }, {}]) {
          const refused = await upload(port, '/', { headers, pieces: [Buffer.alloc(301)] })
          assert.deepEqual(
            [refused.status, refused.json.limit],
            [413, 300],
            'and the error names the one that was exceeded'
          )
        }
        assert.deepEqual((await upload(port, '/', { pieces: [Buffer.alloc(300)] })).json, { bytes: 300 })
      }
    })

    test('goes on after an error handler that lets the request go on, without the body', async t => {
      const app = express()
      app.use(plimsoll.limit(100))
      app.use((_error, _req, _res, next) => next())
      app.post('/', read)
      app.use((error, _req, res, _next) => res.status(500).json({ type: error.type }))
      const { port } = await served(t, app)
      const before = plimsoll.stats().requests.limited
      const { status, json } = await upload(port, '/', {
        headers: { 'content-length': 101 },
        pieces: [Buffer.alloc(101)]
      })
      assert.deepEqual([status, json], [500, { type: 'entity.too.large' }], 'who reads it is told')
      assert.equal(plimsoll.stats().requests.limited, before + 1)
    })

    test('counts a request once that an error handler has sent on into the next limit', async t => {
      const app = express()
      app.use(plimsoll.limit(100))
      app.use((_error, _req, _res, next) => next())
      app.use(plimsoll.limit(50))
      app.use(errorPage([]))
      const { port } = await served(t, app)
      const before = plimsoll.stats().requests.limited
      const { status, json } = await upload(port, '/', {
        headers: { 'content-length': 101 },
        pieces: [Buffer.alloc(101)]
      })
      assert.deepEqual([status, json.limit], [413, 50])
      assert.equal(plimsoll.stats().requests.limited, before + 1)
    })

    test('counts a refused request once, under the route that it was meant for', async t => {
      const route = `/${tag}/photos/:id`
      const app = express()
      app.use(plimsoll())
      app.use(plimsoll.limit(100))
      const photos = express.Router()
      photos.post('/photos/:id', read)
      app.use(`/${tag}`, photos)
      app.use(errorPage([]))
      const { port } = await served(t, app)
      const before = plimsoll.stats().requests.limited
      assert.equal((await upload(port, `/${tag}/photos/1`, { pieces: [Buffer.alloc(100)] })).status, 200)
      for (const headers of [{ 'content-length': 101 }, {}]) {
        assert.equal((await upload(port, `/${tag}/photos/2`, { headers, pieces: [Buffer.alloc(101)] })).status, 413)
      }
      const refused = () => plimsoll.stats().routes.find(row => row.route === route && row.status === '4xx')
      await until(() => refused()?.count === 2, 'both are counted')
      assert.deepEqual([refused().limited, refused().aborted], [2, 0])
      assert.equal(plimsoll.stats().requests.limited, before + 2)
      assert.equal(plimsoll.stats().routes.find(row => row.route === route && row.status === '2xx').limited, 0)
    })

    test('works before plimsoll(), after it, or without it', async t => {
      for (const guards of [
        [plimsoll.limit(100), plimsoll()],
        [plimsoll(), plimsoll.limit(100)],
        [plimsoll.limit(100)]
      ]) {
        const { app } = guarded(guards)
        const { port } = await served(t, app)
        const before = plimsoll.stats().requests.limited
        for (const headers of [{ 'content-length': 101 }, {}]) {
          assert.equal((await upload(port, '/', { headers, pieces: [Buffer.alloc(101)] })).status, 413)
        }
        assert.equal((await upload(port, '/', { pieces: [Buffer.alloc(100)] })).status, 200)
        assert.equal(plimsoll.stats().requests.limited, before + 2)
      }
    })

    test('bounds only what it is mounted at', async t => {
      const app = express()
      app.use('/small', plimsoll.limit(100))
      app.post('/route', plimsoll.limit(200), read)
      app.post(['/small', '/open'], read)
      app.use(errorPage([]))
      const { port } = await served(t, app)
      const status = async (path, bytes) => (await upload(port, path, { pieces: [Buffer.alloc(bytes)] })).status
      assert.deepEqual([await status('/small', 100), await status('/small', 101)], [200, 413])
      assert.deepEqual([await status('/route', 200), await status('/route', 201)], [200, 413])
      assert.equal(await status('/open', 100_000), 200)
    })

    test('still bounds what a handler reads after it has answered', async t => {
      const seen = { bytes: 0, ended: false, error: null }
      const { app } = guarded([plimsoll(), plimsoll.limit(1000)], (req, res) => {
        res.status(202).json({})
        res.on('close', () => {
          seen.answered = true
          req.on('data', piece => {
            seen.bytes += piece.length
          })
        })
        req.on('end', () => {
          seen.ended = true
        })
        req.on('error', error => {
          seen.error = error
        })
        req.resume().pause()
      })
      const { port } = await served(t, app)
      const client = await wire(port)
      client.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('x'.repeat(500)))
      assert.equal((await client.responses(1))[0].status, 202)
      await until(() => seen.answered, 'the response is over')
      client.write(chunk('x'.repeat(501)), LAST_CHUNK)
      await until(() => seen.error, 'the reader is told')
      assert.deepEqual([seen.error.type, seen.error.received, seen.ended], ['entity.too.large', 1001, false])
      assert.ok(seen.bytes <= 1000)
      client.socket.destroy()
    })
  })
}

test('guards a connect app, whose error handler or default page answers', async t => {
  const app = connect()
  app.use(plimsoll())
  app.use(plimsoll.limit(100))
  app.use((req, res) => {
    req.resume().on('end', () => res.end('whole'))
  })
  const bare = await served(t, app)
  const page = connect()
  page.use(plimsoll.limit(100))
  page.use((error, _req, res, _next) => {
    res.statusCode = error.status
    res.end('own page')
  })
  const own = await served(t, page)
  const unmatched = () =>
    plimsoll.stats().routes.find(row => row.route === '(unmatched)' && row.status === '4xx')?.limited ?? 0
  const before = unmatched()
  for (const headers of [{ 'content-length': 101 }, {}]) {
    assert.equal((await upload(bare.port, '/', { headers, pieces: [Buffer.alloc(101)] })).status, 413)
  }
  assert.equal((await upload(bare.port, '/', { pieces: [Buffer.alloc(100)] })).body, 'whole')
  const { status, body } = await upload(own.port, '/', {
    headers: { 'content-length': 101 },
    pieces: [Buffer.alloc(101)]
  })
  assert.deepEqual([status, body], [413, 'own page'])
  await until(() => unmatched() === before + 2, 'those that were tracked are counted')
})

test('guards an HTTP/2 server, declared or counted', async t => {
  const limit = plimsoll.limit(1000)
  const server = http2.createServer((req, res) => {
    limit(req, res, error => {
      if (error) return res.writeHead(error.status).end(error.type)
      let bytes = 0
      req.on('data', piece => {
        bytes += piece.length
      })
      req.on('end', () => res.end(String(bytes)))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`)
  t.after(() => {
    session.close()
    server.close()
  })
  for (const [bytes, headers, status, body] of [
    [1000, { 'content-length': 1000 }, 200, '1000'],
    [1001, { 'content-length': 1001 }, 413, 'entity.too.large'],
    [1000, {}, 200, '1000'],
    [1001, {}, 413, 'request entity too large\n'],
    [500_000, {}, 413, 'request entity too large\n']
  ]) {
    const stream = session.request({ ':method': 'POST', ...headers })
    stream.end(Buffer.alloc(bytes))
    const [response] = await once(stream, 'response')
    assert.deepEqual([response[':status'], await text(stream)], [status, body])
  }
})

test('guards a plain http server', async t => {
  const limit = plimsoll.limit(100)
  const { port } = await served(
    t,
    http.createServer((req, res) => {
      limit(req, res, error => {
        if (!error) return req.resume().on('end', () => res.end('whole'))
        res.statusCode = error.status
        res.end(error.type)
      })
    })
  )
  const declared = await upload(port, '/', { headers: { 'content-length': 101 }, pieces: [Buffer.alloc(101)] })
  assert.deepEqual([declared.status, declared.body], [413, 'entity.too.large'])
  const counted = await upload(port, '/', { pieces: [Buffer.alloc(101)] })
  assert.deepEqual(
    [counted.status, counted.body],
    [413, 'request entity too large\n'],
    'nobody listens: plimsoll answers'
  )
  assert.equal((await upload(port, '/', { pieces: [Buffer.alloc(100)] })).body, 'whole')
  assert.equal((await request(port, '/')).body, 'whole')
})
