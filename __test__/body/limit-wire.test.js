'use strict'

// The effects of a refusal on the connection, the process and other requests. Bodies that are not refused arrive as
// they would without a limit.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { createHash } = require('node:crypto')
const { once } = require('node:events')
const http = require('node:http')
const { pipeline } = require('node:stream')
const test = require('node:test')
const v8 = require('node:v8')
const vm = require('node:vm')
const busboy = require('busboy')
const multer = require('multer')
const rawBody = require('raw-body')
const plimsoll = require('../..')
const { native } = require('../../lib/core/addon.js')
const { start } = require('../support/child.js')
const { serve, request, until } = require('../support/http.js')
const { errorPage, upload, split, wire, chunk, LAST_CHUNK, random } = require('../support/uploads.js')

const versions = { 'express 5': 'express', 'express 4': 'express4' }
const CHUNKED = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

v8.setFlagsFromString('--expose-gc')
const gc = vm.runInNewContext('gc')

async function nothingInFlight() {
  await until(() => plimsoll.stats().requests.inFlight === 0, 'no request is in flight')
}

/** The index of the next tap. Taps that are not closed raise it. */
function nextTap() {
  const handle = native.tapOpen(0)
  native.tapClose(handle)
  return handle & 0xffff
}

for (const [version, name] of Object.entries(versions)) {
  const express = require(name)

  test.describe(version, () => {
    /** Several kinds of readers with a limit of 1,000 bytes. GET / responds. */
    async function served(t, read = express.text({ type: () => true })) {
      const app = express()
      app.use(plimsoll())
      app.use(plimsoll.limit(1000))
      app.post('/', read, (req, res) => res.send(`got ${req.body?.length}`))
      app.get('/', (_req, res) => res.send('hello'))
      app.use(errorPage([]))
      const server = await serve(app)
      t.after(() => server.close())
      return server
    }

    async function wired(t, port, options) {
      const client = await wire(port, options)
      t.after(() => client.socket.destroy())
      return client
    }

    const statuses = async (client, count) => (await client.responses(count)).map(({ status }) => status)

    test('a connection whose refused body was declared and small serves the next request', async t => {
      const { port, server } = await served(t)
      let connections = 0
      server.on('connection', () => {
        connections += 1
      })
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
      t.after(() => agent.destroy())
      for (let round = 0; round < 3; round++) {
        const headers = { 'content-length': 20_000 }
        const refused = await upload(port, '/', { agent, headers, pieces: [Buffer.alloc(20_000)] })
        assert.equal(refused.status, 413)
        assert.equal(refused.headers.connection, 'keep-alive')
        assert.deepEqual((await request(port, '/', { agent })).body, 'hello')
        assert.deepEqual((await upload(port, '/', { agent, pieces: ['x'] })).body, 'got 1')
      }
      assert.equal(connections, 1)
    })

    test('responds to pipelined requests after a refused one in their order', async t => {
      const { port } = await served(t)
      const client = await wired(t, port)
      const small = Buffer.concat([Buffer.from(CHUNKED), chunk('small'), Buffer.from(LAST_CHUNK)])
      client.write(CHUNKED, chunk('x'.repeat(900)), chunk('x'.repeat(5000)), LAST_CHUNK, small, GET)
      client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n${'y'.repeat(2000)}`, GET, small)
      const responses = await client.responses(6)
      assert.deepEqual(
        responses.map(({ status }) => status),
        [413, 200, 200, 413, 200, 200]
      )
      assert.deepEqual([responses[1].body, responses[2].body, responses[5].body], ['got 5', 'hello', 'got 5'])
    })

    test('refuses a pipelined request that waits for its turn, in its turn', async t => {
      for (const kind of ['told', 'untold']) {
        let release
        const refused = []
        const app = express()
        app.use(plimsoll())
        app.use(plimsoll.limit(1000))
        app.get('/', (_req, res) => {
          release = () => res.send('first')
        })
        app.get('/last', (_req, res) => res.send('last'))
        app.post('/', (req, _res, next) => {
          refused.push(req)
          req.resume()
          if (kind === 'told') req.on('error', next)
        })
        app.use(errorPage([]))
        const { port, close } = await serve(app)
        const client = await wired(t, port)
        const before = plimsoll.stats().requests.inFlight
        client.write(GET, CHUNKED, chunk('x'.repeat(1001)), LAST_CHUNK, GET.replace('/', '/last'))
        await until(() => refused[0]?.destroyed, 'the second is refused while the first is being made')
        assert.equal(plimsoll.stats().requests.inFlight, before + 3, 'all are in flight')
        release()
        const [first, second, third] = await client.responses(3)
        assert.deepEqual([first.body, second.status, third.body], ['first', 413, 'last'])
        await close()
      }
      await nothingInFlight()
    })

    test('goes on reading a connection that the refused body had stopped', async t => {
      // Without a reader the buffer fills, the socket pauses, and only then the limit runs.
      const app = express()
      app.post('/', (req, _res, next) => {
        until(() => req.readableLength >= req.readableHighWaterMark, 'the buffer is full').then(() => next(), next)
      })
      app.use(plimsoll.limit(1000))
      app.post('/', (_req, res) => res.end())
      app.use(errorPage([]))
      const { port, close } = await serve(app)
      t.after(close)
      for (const [head, body] of [
        [CHUNKED, Buffer.concat([...Array(50).fill(chunk(Buffer.alloc(100_000))), Buffer.from(LAST_CHUNK)])],
        ['POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n', Buffer.alloc(5_000_000)]
      ]) {
        const client = await wired(t, port)
        client.write(head, body)
        assert.deepEqual(await statuses(client, 1), [413])
        await until(() => client.socket.writableLength === 0, 'all of it was taken')
        await until(client.closed, 'the connection ends')
      }
    })

    test('counts in JavaScript if there are more bodies in flight than counters', async t => {
      const { port } = await served(t)
      const taken = Array.from({ length: 1 << 16 }, () => native.tapOpen(0))
      try {
        assert.equal(native.tapOpen(0), 0)
        for (const [bytes, status] of [
          [1000, 200],
          [1001, 413]
        ]) {
          const pieces = [Buffer.alloc(bytes - 1), Buffer.alloc(1)]
          assert.equal((await upload(port, '/', { pieces })).status, status)
        }
      } finally {
        // The lowest last, because it is opened next.
        for (const handle of taken.reverse()) native.tapClose(handle)
      }
    })

    test('counts once what the stream has buffered in front of the tracker', async t => {
      const route = `/buffered-${name}`
      const app = express()
      app.use((req, _res, next) => {
        until(() => req.readableLength > 0, 'some of the body has been buffered').then(() => next(), next)
      })
      app.use(plimsoll())
      app.use(plimsoll.limit(1000))
      app.post(route, express.text({ type: () => true }), (req, res) => res.json(req.body.length))
      const { port, close } = await serve(app)
      t.after(close)
      const before = plimsoll.stats().requests.bodyBytes
      assert.equal((await upload(port, route, { pieces: [Buffer.alloc(300), Buffer.alloc(400)] })).json, 700)
      await nothingInFlight()
      const { requests, routes } = plimsoll.stats()
      assert.equal(requests.bodyBytes - before, 700)
      assert.equal(routes.find(row => row.route === route).bodyBytes.sum, 700)
    })

    test('keeps nothing of a refused request on a connection that idles', async t => {
      const { port, server } = await served(t)
      const seen = []
      server.prependListener('request', req => seen.push(new WeakRef(req)))
      const client = await wired(t, port)
      client.write(CHUNKED, chunk('x'.repeat(1001)), LAST_CHUNK)
      assert.deepEqual(await statuses(client, 1), [413])
      await nothingInFlight()
      await until(() => {
        gc()
        return seen[0].deref() === undefined
      }, 'the request is collected')
      assert.equal(client.closed(), false)
    })

    test('nothing is left when clients disconnect at any moment', async t => {
      const readers = {
        text: express.text({ type: () => true }),
        data: req => req.on('data', () => {}),
        error: req => req.on('error', () => {}).resume(),
        'for await': async (req, _res, next) => {
          try {
            for await (const _ of req);
          } catch (error) {
            next(error)
          }
        },
        nobody: () => {}
      }
      const moments = {
        'while a declared length is refused': [
          `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n`,
          'x'.repeat(400)
        ],
        'while a counted body is refused': [CHUNKED, chunk('x'.repeat(1001))],
        'after the refused body': [CHUNKED, chunk('x'.repeat(1001)), LAST_CHUNK],
        'during the upload': [CHUNKED, chunk('x'.repeat(500))],
        'before the body': [CHUNKED],
        'with more behind it': [
          CHUNKED,
          chunk('x'.repeat(1001)),
          LAST_CHUNK,
          CHUNKED,
          chunk('x'.repeat(1001)),
          LAST_CHUNK,
          CHUNKED
        ]
      }
      const before = nextTap()
      for (const [kind, reader] of Object.entries(readers)) {
        const { port, server, close } = await served(t, reader)
        let requests = 0
        server.on('request', () => {
          requests += 1
        })
        for (const [moment, parts] of Object.entries(moments)) {
          const came = requests
          const clients = await Promise.all([wire(port), wire(port), wire(port)])
          for (const client of clients) client.write(...parts)
          await until(() => requests >= came + 3, `${kind}: they have come`)
          clients[0].socket.destroy()
          clients[1].socket.resetAndDestroy()
          clients[2].socket.end()
          await until(
            () => plimsoll.stats().requests.inFlight === 0,
            `${kind}: nothing is left of those that went away ${moment}`
          )
          clients[2].socket.destroy()
        }
        await close()
      }
      assert.ok(nextTap() <= before + 12, `taps are left: ${before}, then ${nextTap()}`)
    })

    test('every client reads its 413, and the process holds none of the bodies', async t => {
      const child = await start('limit', { env: { EXPRESS: name }, execArgv: ['--expose-gc'] })
      t.after(() => child.stop())
      const form = '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
      const kinds = [
        ['/json', 'application/json', '"'],
        ['/raw', 'application/octet-stream', 'x'],
        ['/multer', 'multipart/form-data; boundary=b', form],
        ['/data', 'text/plain', 'x']
      ]
      const mebibyte = Buffer.alloc(2 ** 20, 'x')
      // Sends all of it, with any response.
      const sendWhole = async ([path, type, first], mebibytes) => {
        const client = await wired(t, child.port, { allowHalfOpen: true })
        client.write(CHUNKED.replace('/', path).replace('Host', `Content-Type: ${type}\r\nHost`), chunk(first))
        for (let i = 0; i < mebibytes; i++) {
          if (!client.socket.write(chunk(mebibyte))) await once(client.socket, 'drain')
        }
        client.write(LAST_CHUNK)
        client.socket.end()
        return statuses(client, 1)
      }
      const sendWithNode = ([path, type, first], mebibytes) =>
        upload(child.port, path, {
          headers: { 'content-type': type },
          pieces: [first, ...Array(mebibytes).fill(mebibyte)]
        })
      const all = (send, mebibytes, count) =>
        Promise.all(Array.from({ length: count }, (_, i) => send(kinds[i % 4], mebibytes)))

      await all(sendWhole, 1, 8)
      const peak = await child.ask('peak')
      const before = await child.ask('gc')
      for (const answers of await all(sendWhole, 10, 20)) assert.deepEqual(answers, [413])
      for (const { status } of await all(sendWithNode, 10, 20)) assert.equal(status, 413)
      const growth = (await child.ask('peak')) - peak
      const { external } = await child.ask('gc')
      const inMebibytes = bytes => (bytes / 2 ** 20).toFixed(1)
      t.diagnostic(
        `200 MiB refused, and again: RSS grew by up to ${inMebibytes(growth)} MiB of what Node has read and not yet collected; ` +
          `${inMebibytes(external - before.external)} MiB are held`
      )
      assert.ok(growth < 100 * 2 ** 20, `${growth}`)
      assert.ok(external - before.external < 4 * 2 ** 20, `${external - before.external}`)
      assert.equal((await child.ask('stats')).requests.limited, 48)
    })

    test('bodies within the limit arrive as they do without one: every parser, any size, any split, kept-alive connections', async t => {
      const boundary = 'plimsoll-boundary'
      const hash = (...parts) => parts.reduce((sum, part) => sum.update(part), createHash('sha256')).digest('hex')
      const multipart = `multipart/form-data; boundary=${boundary}`
      const serving = limits => {
        const app = express()
        for (const limit of limits) app.use(limit)
        app.post('/raw', express.raw({ type: () => true, limit: '10mb' }), (req, res) => res.send(hash(req.body)))
        app.post('/text', express.text({ type: () => true, limit: '10mb' }), (req, res) => res.send(hash(req.body)))
        app.post('/json', express.json({ limit: '10mb' }), (req, res) => res.send(hash(JSON.stringify(req.body))))
        app.post('/multer', multer().single('file'), (req, res) => res.send(hash(req.file.buffer)))
        app.post('/busboy', (req, res) => {
          const parser = busboy({ headers: req.headers })
          parser.on('file', (_name, file) => rawBody(file, (_error, body) => res.send(hash(body))))
          req.pipe(parser)
        })
        app.post('/raw-body', async (req, res) => res.send(hash(await rawBody(req))))
        app.post('/for-await', async (req, res) => {
          await new Promise(setImmediate)
          const pieces = []
          for await (const piece of req) pieces.push(piece)
          res.send(hash(...pieces))
        })
        app.post('/pipeline', (req, res) => {
          const sum = createHash('sha256')
          pipeline(req, sum, () => res.send(sum.digest('hex')))
        })
        return serve(app)
      }
      const seed = 20_261_122
      const next = random(seed)
      const body = path => {
        const size = Math.floor(next() ** 3 * 300_000)
        const noise = Buffer.alloc(size)
        for (let i = 0; i + 4 <= size; i += 4) noise.writeUInt32LE(next() * 2 ** 32, i)
        if (path === '/json')
          return { type: 'application/json', bytes: Buffer.from(JSON.stringify({ noise: noise.toString('base64') })) }
        if (path !== '/multer' && path !== '/busboy') return { type: 'text/plain; charset=utf-8', bytes: noise }
        const head = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n`
        return {
          type: multipart,
          bytes: Buffer.concat([Buffer.from(head), noise, Buffer.from(`\r\n--${boundary}--\r\n`)])
        }
      }
      const without = await serving([])
      t.after(without.close)
      const behind = await serving([plimsoll(), plimsoll.limit('1gb'), plimsoll.limit('1gb')])
      t.after(behind.close)
      const agent = new http.Agent({ keepAlive: true, maxSockets: 2 })
      t.after(() => agent.destroy())
      for (const path of ['/raw', '/text', '/json', '/multer', '/busboy', '/raw-body', '/for-await', '/pipeline']) {
        for (let round = 0; round < 6; round++) {
          const { type, bytes } = body(path)
          const pieces = split(
            bytes,
            Array.from({ length: 30 }, () => 1 + Math.floor(next() ** 4 * 100_000))
          )
          const headers = { 'content-type': type, ...(round % 2 ? { 'content-length': bytes.length } : {}) }
          const [wanted, got] = await Promise.all(
            [without, behind].map(({ port }) => upload(port, path, { agent, headers, pieces }))
          )
          const what = `${path}, ${bytes.length} bytes, seed ${seed}, round ${round}`
          assert.equal(wanted.status, 200, what)
          assert.deepEqual([got.status, got.body], [wanted.status, wanted.body], what)
        }
      }
      await nothingInFlight()
    })
  })
}
