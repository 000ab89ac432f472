'use strict'

// A compressed body reaches its consumer as an identity body.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http = require('node:http')
const http2 = require('node:http2')
const { buffer, text } = require('node:stream/consumers')
const test = require('node:test')
const { setImmediate: turn } = require('node:timers/promises')
const zlib = require('node:zlib')
const connect = require('connect')
const plimsoll = require('../..')
const { content, seal, seen } = require('../support/encodings.js')
const { serve, until } = require('../support/http.js')
const { errorPage, upload, split, wire, chunk, LAST_CHUNK, random } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }

const inflating = (limit = '10mb') => plimsoll.limit({ limit, inflate: true })

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    test('later middleware sees the headers of an identity body without a length', async t => {
      const app = express()
      let before
      app.use((req, _res, next) => {
        before = req
        next()
      })
      app.use(inflating())
      app.post('/', async (req, res) => {
        assert.equal(req, before)
        const raw = []
        for (let i = 0; i < req.rawHeaders.length; i += 2) raw.push(req.rawHeaders[i].toLowerCase())
        res.json({ headers: req.headers, distinct: req.headersDistinct, raw, body: await text(req) })
      })
      const { port, close } = await serve(app)
      t.after(close)
      const sent = zlib.gzipSync('hello')
      for (const length of [{}, { 'content-length': sent.length }]) {
        const { json } = await upload(port, '/', {
          headers: { 'content-encoding': 'gzip', 'x-other': '1', ...length },
          pieces: [sent]
        })
        assert.equal(json.body, 'hello')
        assert.equal(json.headers['transfer-encoding'], 'chunked')
        assert.deepEqual(json.distinct['transfer-encoding'], ['chunked'])
        assert.deepEqual([json.headers['x-other'], json.distinct['x-other']], ['1', ['1']])
        assert.equal(json.raw.filter(name => name === 'transfer-encoding').length, 1)
        for (const name of ['content-encoding', 'content-length']) {
          assert.ok(!(name in json.headers) && !(name in json.distinct) && !json.raw.includes(name), name)
        }
      }
    })

    test('requests without an encoding are untouched; an empty body is an empty body', async t => {
      const app = express()
      app.use(inflating(100))
      app.use(async (req, res) => {
        const { headers } = req
        res.json({
          encoding: headers['content-encoding'],
          length: headers['content-length'],
          te: headers['transfer-encoding'],
          body: await text(req)
        })
      })
      const { port, close } = await serve(app)
      t.after(close)
      const ask = async (headers, pieces) => (await upload(port, '/', { headers, pieces })).json
      assert.deepEqual(await ask({ 'content-length': 2 }, ['ab']), { length: '2', body: 'ab' })
      assert.deepEqual(await ask({}, ['ab']), { te: 'chunked', body: 'ab' })
      const identity = { 'content-length': 2, 'content-encoding': 'identity' }
      assert.deepEqual(await ask(identity, ['ab']), { encoding: 'identity', length: '2', body: 'ab' })
      for (const encoding of ['gzip', 'deflate', 'br', 'zstd']) {
        assert.deepEqual(await ask({ 'content-length': 0, 'content-encoding': encoding }, []), {
          length: '0',
          body: ''
        })
        assert.deepEqual(await ask({ 'content-encoding': encoding, 'transfer-encoding': 'chunked' }, []), {
          te: 'chunked',
          body: ''
        })
      }
      const { json } = await upload(port, '/', { headers: { 'content-encoding': 'gzip', 'content-length': 0 } })
      assert.equal(json.body, '')
    })

    test('pipelined bodies stay apart, read or not', async t => {
      const app = express()
      app.use(inflating())
      app.post('/read', async (req, res) => res.json({ body: (await text(req)).length }))
      app.post('/unread', (_req, res) => res.json({ unread: true }))
      app.post('/late', async (req, res) => {
        for (let i = 0; i < 10; i++) await turn()
        res.json({ late: (await text(req)).length })
      })
      app.use(errorPage([]))
      const { port, close } = await serve(app)
      t.after(close)
      const client = await wire(port)
      t.after(() => client.socket.destroy())
      const wanted = []
      const parts = []
      for (let i = 0; i < 30; i++) {
        const size = 1 + i * 30_000
        const path = ['/read', '/unread', '/late'][i % 3]
        wanted.push([{ body: size }, { unread: true }, { late: size }][i % 3])
        const sent = zlib.gzipSync(Buffer.alloc(size, `${i} words`))
        const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n`
        if (i % 2) parts.push(`${head}Content-Length: ${sent.length}\r\n\r\n`, sent)
        else parts.push(`${head}Transfer-Encoding: chunked\r\n\r\n`, ...split(sent, [5]).map(chunk), LAST_CHUNK)
      }
      client.write(...parts)
      const responses = await client.responses(wanted.length)
      assert.deepEqual(
        responses.map(({ body }) => JSON.parse(body)),
        wanted
      )
    })

    test('a body without a reader is discarded, and the connection continues', async t => {
      const app = express()
      app.use(inflating('1gb'))
      app.post('/unread', (_req, res) => res.json({ unread: true }))
      app.post('/read', async (req, res) => res.json({ body: (await text(req)).length }))
      const { port, close } = await serve(app)
      t.after(close)
      const client = await wire(port)
      t.after(() => client.socket.destroy())
      const noise = zlib.gzipSync(content(random(1), 3_000_000), { level: 0 })
      const head = 'HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n'
      client.write(`POST /unread ${head}Content-Length: ${noise.length}\r\n\r\n`, noise)
      client.write(`POST /unread ${head}Transfer-Encoding: chunked\r\n\r\n`, chunk(noise), LAST_CHUNK)
      client.write(`POST /unread ${head}Content-Length: 7\r\n\r\n`, 'garbage')
      client.write(`POST /read ${head}Content-Length: 25\r\n\r\n`, zlib.gzipSync('hello'))
      const bodies = (await client.responses(4)).map(({ body }) => JSON.parse(body))
      assert.deepEqual(bodies, [{ unread: true }, { unread: true }, { unread: true }, { body: 5 }])
    })

    test('works after asynchronous middleware, when the stream has the body already', async t => {
      const app = express()
      app.use(async (req, _res, next) => {
        await until(() => req.complete || req.readableLength > 60_000, 'the body has come')
        next()
      })
      app.use(inflating())
      app.post('/', async (req, res) => {
        assert.equal(req.readableDidRead, false)
        seen(res, await buffer(req))
      })
      app.post('/parsed', express.text({ limit: '10mb' }), (req, res) => seen(res, req.body))
      app.post('/unread', (_req, res) => res.json({}))
      const { port, close } = await serve(app)
      t.after(close)
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
      t.after(() => agent.destroy())
      for (const size of [5, 10_000, 900_000]) {
        const body = Buffer.from(content(random(size), size).toString('base64'))
        const headers = { 'content-type': 'text/plain', 'content-encoding': 'gzip' }
        const pieces = split(zlib.gzipSync(body, { level: 1 }), [100, 1000])
        for (const path of ['/', '/parsed']) {
          const { json } = await upload(port, path, { agent, headers, pieces })
          assert.deepEqual(json, seal(body))
        }
        assert.deepEqual((await upload(port, '/unread', { agent, headers, pieces })).json, {})
      }
    })

    test('a body that was read before it is left alone', async t => {
      const app = express()
      app.use(express.text())
      app.use(inflating())
      app.post('/', (req, res) => res.json({ body: req.body, encoding: req.headers['content-encoding'] }))
      const { port, close } = await serve(app)
      t.after(close)
      const headers = { 'content-type': 'text/plain', 'content-encoding': 'gzip' }
      const { json } = await upload(port, '/', { headers, pieces: [zlib.gzipSync('hello')] })
      assert.deepEqual(json, { body: 'hello', encoding: 'gzip' })
    })

    test('of several limits the smallest holds for what is inflated, whichever inflates', async t => {
      const size = 50_000
      const cases = [
        [[inflating(size), inflating('1mb')], 200],
        [[inflating('1mb'), plimsoll.limit(size)], 200],
        [[plimsoll.limit(size), inflating('1mb')], 200],
        [[inflating(size - 1), inflating('1mb')], 413],
        [[inflating('1mb'), plimsoll.limit(size - 1)], 413],
        [[inflating('1mb'), inflating(size - 1)], 413],
        [[plimsoll.limit(size - 1), inflating('1mb')], 413],
        [[inflating('1mb'), (_req, _res, next) => setImmediate(next), plimsoll.limit(size - 1)], 413]
      ]
      for (const [i, [guards, wanted]] of cases.entries()) {
        const app = express()
        app.post('/', ...guards, async (req, res, next) => {
          try {
            res.json({ length: (await buffer(req)).length })
          } catch (error) {
            next(error)
          }
        })
        app.use(errorPage([]))
        const { port, close } = await serve(app)
        t.after(close)
        const { status, json } = await upload(port, '/', {
          headers: { 'content-encoding': 'gzip' },
          pieces: [zlib.gzipSync(Buffer.alloc(size))]
        })
        assert.equal(status, wanted, `case ${i}`)
        if (status === 413) {
          assert.deepEqual([json.type, json.limit, json.received], ['entity.too.large', size - 1, size], `case ${i}`)
        }
      }
    })

    test('with report, a body that is too large or grows too much is reported once and passes', async t => {
      const app = express()
      app.use(plimsoll.limit({ limit: '2mb', inflate: true, report: true }))
      app.post('/', async (req, res) => res.json({ length: (await buffer(req)).length }))
      const { port, close } = await serve(app)
      t.after(close)
      const told = []
      const listen = message => told.push([message.reported, message.limit, message.received > 2 ** 20])
      const { channel } = require('node:diagnostics_channel')
      channel('plimsoll:limit').subscribe(listen)
      t.after(() => channel('plimsoll:limit').unsubscribe(listen))
      const headers = { 'content-encoding': 'gzip' }
      const size = 5_000_000
      const { json } = await upload(port, '/', { headers, pieces: [zlib.gzipSync(Buffer.alloc(size))] })
      assert.deepEqual(json, { length: size })
      assert.deepEqual(told, Array(2).fill([true, 2 * 2 ** 20, true]))
    })

    test('a reader that stops stops the inflating, and the socket', async t => {
      let reader
      const app = express()
      app.use(plimsoll())
      app.use(plimsoll.limit({ limit: '1gb', inflate: { ratio: Number.POSITIVE_INFINITY } }))
      app.post('/', (req, res) => {
        reader = { req, length: 0 }
        req.on('data', piece => {
          reader.length += piece.length
          if (reader.length === piece.length) req.pause()
        })
        req.on('end', () => res.json({ length: reader.length }))
      })
      const { port, close } = await serve(app)
      t.after(close)
      const noise = Buffer.concat(Array(20).fill(content(random(2), 1_000_000)))
      for (const [sent, size] of [
        [zlib.gzipSync(noise, { level: 0 }), noise.length],
        [zlib.gzipSync(Buffer.alloc(50_000_000)), 50_000_000]
      ]) {
        reader = null
        const answered = upload(port, '/', { headers: { 'content-encoding': 'gzip' }, pieces: split(sent, [100, 1e6]) })
        await until(() => reader?.length > 0, 'it has begun')
        let last = -1
        await until(() => {
          const { bytesRead } = reader.req.socket
          const still = bytesRead === last
          last = bytesRead
          return still
        }, 'nothing more is read')
        assert.ok(last < 1_000_000, `${last} bytes were read of ${sent.length}`)
        assert.ok(reader.req.readableLength <= 2 * 65_536, `${reader.req.readableLength} bytes wait`)
        assert.ok(plimsoll.usage(reader.req).bodyBytes <= last, 'what is counted is what came on the wire')
        reader.req.resume()
        assert.deepEqual((await answered).json, { length: size })
      }
    })

    test('a handler that has answered may read on', async t => {
      const app = express()
      let read
      app.use(inflating())
      app.post('/', (req, res) => {
        read = buffer(req)
        res.json({})
      })
      const { port, close } = await serve(app)
      t.after(close)
      const client = await wire(port)
      t.after(() => client.socket.destroy())
      const body = content(random(3), 500_000)
      const [first, ...more] = split(zlib.gzipSync(body), [100, 1000]).map(chunk)
      client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n', first)
      await client.responses(1)
      client.write(...more, LAST_CHUNK)
      assert.deepEqual(seal(await read), seal(body))
    })

    test("an exception of a reader's is uncaught, as it is without an encoding", async t => {
      const app = express()
      app.use(inflating())
      app.post('/', req => {
        req.on('data', () => {
          throw new Error('of a reader')
        })
      })
      const { port, close } = await serve(app)
      t.after(close)
      for (const size of [10, 500_000]) {
        const client = await wire(port)
        const listeners = process.listeners('uncaughtException')
        process.removeAllListeners('uncaughtException')
        try {
          const thrown = once(process, 'uncaughtException')
          const sent = zlib.gzipSync(content(random(4), size))
          client.write(
            `POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: ${sent.length}\r\n\r\n`,
            sent
          )
          assert.equal((await thrown)[0].message, 'of a reader')
        } finally {
          client.socket.destroy()
          for (const listener of listeners) process.on('uncaughtException', listener)
        }
      }
    })
  })
}

test('works in connect, in plain http and in HTTP/2', async t => {
  const guard = inflating(1000)
  const read = async (req, res) => res.end(await text(req))
  const app = connect()
  app.use(guard)
  app.use(read)
  const bare = http.createServer((req, res) => guard(req, res, () => read(req, res)))
  for (const server of [app, bare]) {
    const { port, close } = await serve(server)
    t.after(close)
    const { body } = await upload(port, '/', {
      headers: { 'content-encoding': 'br' },
      pieces: [zlib.brotliCompressSync('hello')]
    })
    assert.equal(body, 'hello')
  }
  const server = http2.createServer((req, res) => {
    guard(req, res, error => (error ? res.writeHead(error.status).end() : read(req, res).catch(() => {})))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`)
  t.after(() => {
    session.close()
    server.close()
  })
  for (const [sent, encoding, status, answer] of [
    [zlib.gzipSync('x'.repeat(1000)), 'gzip', 200, 'x'.repeat(1000)],
    [zlib.gzipSync('x'.repeat(1001)), 'gzip', 413, 'request entity too large\n'],
    [Buffer.from('garbage'), 'gzip', 400, 'invalid gzip data\n'],
    [Buffer.from('garbage'), 'lzw', 415, '']
  ]) {
    for (const length of [{}, { 'content-length': sent.length }]) {
      const stream = session.request({ ':method': 'POST', 'content-encoding': encoding, ...length })
      stream.end(sent)
      const [response] = await once(stream, 'response')
      assert.deepEqual([response[':status'], await text(stream)], [status, answer])
    }
  }
})

test('its options are checked', () => {
  const wrong = [
    ['yes', 'inflate takes true, false, or an object with ratio, threshold'],
    [null, 'inflate takes'],
    [{ ratios: 1 }, "has no option 'ratios'"],
    [{ ratio: 0.5 }, 'inflate.ratio takes a number from 1, or Infinity'],
    [{ ratio: '100' }, 'inflate.ratio takes'],
    [{ ratio: Number.NaN }, 'inflate.ratio takes'],
    [{ threshold: '1m' }, 'inflate.threshold takes']
  ]
  for (const [inflate, message] of wrong) {
    assert.throws(
      () => plimsoll.limit({ limit: '1mb', inflate }),
      error => error instanceof TypeError && error.message.includes(message)
    )
  }
  for (const inflate of [true, false, undefined, {}, { ratio: 1 }, { ratio: Number.POSITIVE_INFINITY, threshold: 0 }]) {
    assert.equal(typeof plimsoll.limit({ limit: '1mb', inflate }), 'function')
  }
})
