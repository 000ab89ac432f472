'use strict'

// A compressed body that is invalid or not permitted is refused in body-parser's form, with any reader.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const http = require('node:http')
const { finished, pipeline, PassThrough } = require('node:stream')
const { buffer } = require('node:stream/consumers')
const test = require('node:test')
const zlib = require('node:zlib')
const multer = require('multer')
const rawBody = require('raw-body')
const plimsoll = require('../..')
const { bombs, encodings, needZstd, zstdFrame } = require('../support/encodings.js')
const { serve, until } = require('../support/http.js')
const { errorPage, upload, split, wire, chunk, LAST_CHUNK, random } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }

const own = (_req, res) => res.json({ read: true })
const BOUNDARY = 'plimsoll-boundary'

/** Each reader receives the error, and passes it on to the app's page. */
const readers = {
  'express.raw': express => [express.raw({ type: () => true, limit: '1gb' }), own],
  'express.text': express => [express.text({ type: () => true, limit: '1gb' }), own],
  multer: () => [multer().any(), own],
  'raw-body': () => [(req, res, next) => rawBody(req, error => (error ? next(error) : own(req, res)))],
  "'data' and 'error' listeners": () => [
    (req, res, next) => {
      req.on('error', next)
      req.on('end', () => own(req, res))
      req.resume()
    }
  ],
  pipeline: () => [
    (req, res, next) =>
      pipeline(req, new PassThrough().resume(), error => {
        if (error) next(error)
        else own(req, res)
      })
  ],
  'for await': () => [
    (req, res, next) =>
      buffer(req).then(
        () => own(req, res),
        error => next(error)
      )
  ],
  finished: () => [(req, res, next) => finished(req.resume(), error => (error ? next(error) : own(req, res)))]
}

const body = Buffer.from('some words, some words, and some more of them, and 1234567890'.repeat(20))

function flipped(data, at) {
  const copy = Buffer.from(data)
  copy[at < 0 ? data.length + at : at] ^= 0x55
  return copy
}

let found = null

/** What is sent with which encoding, and the result. */
function faults() {
  if (found !== null) return found
  found = []
  const invalid = (what, encoding, sent, code) =>
    found.push([`${encoding}, ${what}`, encoding, sent, { status: 400, type: 'encoding.invalid', code }])
  const unsupported = (what, encoding, sent, type = 'encoding.unsupported') =>
    found.push([what, encoding, sent, { status: 415, type }])
  const window = (what, encoding, sent) => unsupported(`${encoding}, ${what}`, encoding, sent, 'encoding.window')
  for (const [way, { name, encode }] of Object.entries(encodings)) {
    const encoding = name.toLowerCase()
    const sent = encode(body)
    for (const at of [1, 3, 12, (sent.length >> 1) + 1, sent.length - 1]) {
      if (way !== 'deflate without a header' || at > 1) {
        invalid(`${way}, cut at ${at} of ${sent.length}`, encoding, sent.subarray(0, at), 'Z_BUF_ERROR')
      }
    }
    invalid(`${way}, garbage behind`, encoding, Buffer.concat([sent, Buffer.from('garbage')]), 'Z_DATA_ERROR')
    if (way !== 'br' && way !== 'deflate without a header') {
      invalid(`${way}, its start is wrong`, encoding, flipped(sent, 0), 'Z_DATA_ERROR')
      if (way !== 'zstd')
        invalid(
          `${way}, its checksum is wrong`,
          encoding,
          flipped(sent, -5 + (way === 'deflate' ? 2 : 0)),
          'Z_DATA_ERROR'
        )
    }
    invalid(`${way}, of noise`, encoding, Buffer.alloc(1000, 0xfe), 'Z_DATA_ERROR')
  }
  invalid(
    'zeros and garbage behind',
    'gzip',
    Buffer.concat([zlib.gzipSync(body), Buffer.from([0, 0, 1])]),
    'Z_DATA_ERROR'
  )
  invalid(
    'a member that is cut',
    'gzip',
    Buffer.concat([zlib.gzipSync(body), Buffer.from([0x1f, 0x8b])]),
    'Z_BUF_ERROR'
  )
  for (const encoding of ['lzw', 'compress', 'gzip, gzip', 'gzip,br', 'identity, gzip', 'gzip;q=1', 'aws-chunked']) {
    unsupported(`as ${encoding}`, encoding, zlib.gzipSync(zlib.gzipSync(body)))
  }
  window('of 16 MiB', 'zstd', zstdFrame(24, [body]))
  window('of 128 MiB', 'zstd', zstdFrame(27, [body]))
  const { BROTLI_PARAM_LGWIN, BROTLI_PARAM_LARGE_WINDOW, BROTLI_PARAM_SIZE_HINT } = zlib.constants
  for (const [what, params] of [
    ['of 16 MiB', { [BROTLI_PARAM_LGWIN]: 24, [BROTLI_PARAM_SIZE_HINT]: 2 ** 25 }],
    ['a large one', { [BROTLI_PARAM_LARGE_WINDOW]: true, [BROTLI_PARAM_LGWIN]: 28 }]
  ]) {
    window(
      what,
      'br',
      zlib.brotliCompressSync(Buffer.alloc(2 ** 25), {
        params: { ...params, [zlib.constants.BROTLI_PARAM_QUALITY]: 2 }
      })
    )
  }
  return found
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    for (const [name, handlers] of Object.entries(readers)) {
      test(`what cannot be inflated comes to ${name} as an error, and the client gets a response`, async t => {
        if (!needZstd(t)) return
        const errors = []
        const app = express()
        app.use(plimsoll())
        app.use(plimsoll.limit({ limit: '10mb', inflate: true }))
        app.post('/', ...handlers(express))
        app.use((error, req, res, next) => {
          errors.push(error)
          errorPage([])(error, req, res, next)
        })
        const { port, close } = await serve(app)
        t.after(close)
        const { limited } = plimsoll.stats().requests
        const type = `multipart/form-data; boundary=${BOUNDARY}`
        for (const [what, encoding, sent, wanted] of faults()) {
          for (const pieces of [[sent], split(sent, [1, 7, 2])]) {
            errors.length = 0
            const { status, json, body } = await upload(port, '/', {
              headers: { 'content-type': type, 'content-encoding': encoding },
              pieces
            })
            assert.equal(status, wanted.status, `${what}: ${body}`)
            assert.equal(json?.page, 'own', what)
            assert.equal(errors.length, 1, `${what}: told once`)
            const [{ type: kind, code, encoding: named, expose, statusCode }] = errors
            assert.deepEqual(
              { kind, code, named, expose, statusCode },
              {
                kind: wanted.type,
                code: wanted.code,
                named: encoding,
                expose: true,
                statusCode: wanted.status
              },
              what
            )
          }
        }
        assert.equal(plimsoll.stats().requests.limited, limited, 'no limit was passed')
        await until(() => plimsoll.stats().requests.inFlight === 0, 'no request is in flight')
      })
    }

    test('plimsoll responds if nothing listens for the error', async t => {
      const app = express()
      app.use(plimsoll.limit({ limit: '10mb', inflate: true }))
      app.post('/', req => req.resume())
      const { port, close } = await serve(app)
      t.after(close)
      const { status, body } = await upload(port, '/', { headers: { 'content-encoding': 'gzip' }, pieces: ['garbage'] })
      assert.deepEqual([status, body], [400, 'invalid gzip data\n'])
    })

    test('a refused body whose end has come leaves its connection to the next request', async t => {
      const app = express()
      app.use(plimsoll.limit({ limit: 1000, inflate: true }))
      app.post('/', express.text({ type: () => true }), (req, res) => res.json({ length: req.body.length }))
      app.use(errorPage([]))
      const { port, close } = await serve(app)
      t.after(close)
      const client = await wire(port)
      t.after(() => client.socket.destroy())
      const head = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n'
      const wanted = []
      for (const [sent, status] of [
        [zlib.gzipSync(body).subarray(0, 20), 400],
        [zlib.gzipSync(Buffer.alloc(1000)), 200],
        [zlib.gzipSync(Buffer.alloc(1001)), 413],
        [zlib.gzipSync(Buffer.alloc(500_000)), 413],
        [Buffer.from('garbage'), 400],
        [zlib.gzipSync('hello'), 200]
      ]) {
        client.write(head, chunk(sent), LAST_CHUNK)
        wanted.push(status)
        const responses = await client.responses(wanted.length)
        assert.deepEqual(
          responses.map(({ status }) => status),
          wanted
        )
      }
    })

    test('a bomb is refused by its size, and by its ratio where the size would be allowed', async t => {
      const errors = []
      const app = express()
      let guard
      app.use((req, res, next) => guard(req, res, next))
      app.post('/', express.raw({ type: () => true, limit: '1gb' }), own)
      app.use((error, req, res, next) => {
        errors.push(error)
        errorPage([])(error, req, res, next)
      })
      const { port, close } = await serve(app)
      t.after(close)
      for (const [encoding, make] of Object.entries(bombs)) {
        const bomb = make(20_000_000)
        const cases = [
          [
            { limit: '1mb', inflate: true },
            { limit: 2 ** 20, received: 2 ** 20 + 1 }
          ],
          [
            { limit: '1gb', inflate: true },
            { limit: 2 ** 30, ratio: 100 }
          ],
          [
            { limit: '1gb', inflate: { ratio: 10, threshold: 0 } },
            { limit: 2 ** 30, ratio: 10 }
          ],
          [
            { limit: '10mb', inflate: { ratio: Number.POSITIVE_INFINITY } },
            { limit: 10 * 2 ** 20, received: 10 * 2 ** 20 + 1 }
          ]
        ]
        for (const [options, wanted] of cases) {
          guard = plimsoll.limit(options)
          errors.length = 0
          const { status } = await upload(port, '/', { headers: { 'content-encoding': encoding }, pieces: [bomb] })
          assert.equal(status, 413, encoding)
          const [{ type, limit, ratio, received }] = errors
          assert.deepEqual([type, limit, ratio], ['entity.too.large', wanted.limit, wanted.ratio], encoding)
          if (wanted.received) assert.equal(received, wanted.received)
          else assert.ok(received <= 2 ** 20 + 2 ** 16, `${encoding}: ${received} bytes were inflated`)
        }
        guard = plimsoll.limit({ limit: '1gb', inflate: { threshold: '100mb' } })
        const { json } = await upload(port, '/', { headers: { 'content-encoding': encoding }, pieces: [bomb] })
        assert.deepEqual(json, { read: true }, 'below the threshold no ratio matters')
      }
    })

    test('of a bomb in a bomb the outer one is inflated, and the inner one is content', async t => {
      const app = express()
      app.use(plimsoll.limit({ limit: '1mb', inflate: true }))
      app.post('/', express.raw({ type: () => true, limit: '1gb' }), (req, res) =>
        res.json({ length: req.body.length })
      )
      app.use(errorPage([]))
      const { port, close } = await serve(app)
      t.after(close)
      const inner = zlib.gzipSync(Buffer.alloc(200_000_000))
      const pieces = [zlib.gzipSync(inner)]
      const { json } = await upload(port, '/', { headers: { 'content-encoding': 'gzip' }, pieces })
      assert.deepEqual(json, { length: inner.length })
      const stacked = await upload(port, '/', { headers: { 'content-encoding': 'gzip, gzip' }, pieces })
      assert.deepEqual([stacked.status, stacked.json.type], [415, 'encoding.unsupported'])
    })

    test('the limit bounds what comes on the wire too, declared or not', async t => {
      const app = express()
      app.use(plimsoll.limit({ limit: 1000, inflate: true }))
      app.post('/', express.raw({ type: () => true }), own)
      app.use(errorPage([]))
      const { port, close } = await serve(app)
      t.after(close)
      const next = random(5)
      const sent = zlib.gzipSync(Buffer.from(Array.from({ length: 1000 }, () => Math.floor(next() * 256))))
      assert.ok(sent.length > 1000)
      const declared = { 'content-encoding': 'gzip', 'content-length': sent.length }
      const refused = await upload(port, '/', { headers: declared, pieces: [sent] })
      assert.deepEqual([refused.status, refused.json.length], [413, sent.length])
      // Members without content never make a byte.
      const empty = Buffer.concat(Array(100).fill(zlib.gzipSync('')))
      const counted = await upload(port, '/', { headers: { 'content-encoding': 'gzip' }, pieces: split(empty, [900]) })
      assert.deepEqual([counted.status, counted.json.type], [413, 'entity.too.large'])
    })
  })
}

test("the types and codes are those of body-parser, which reads the same in the guard's place", async t => {
  const express = versions['express 5']
  const app = express()
  const errors = { with: [], without: [] }
  const parse = express.raw({ type: () => true })
  const keep = list => (error, _req, res, _next) => {
    list.push(error)
    res.status(error.status).end()
  }
  app.post('/with', plimsoll.limit({ limit: '1mb', inflate: true }), parse, keep(errors.with))
  app.post('/without', parse, keep(errors.without))
  const { port, close } = await serve(app)
  t.after(close)
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  for (const [encoding, sent] of [
    ['gzip', zlib.gzipSync(body).subarray(0, 30)],
    ['deflate', zlib.deflateSync(body).subarray(0, 30)],
    ['br', zlib.brotliCompressSync(body).subarray(0, 30)],
    ['gzip', Buffer.from('garbage')],
    ['deflate', Buffer.from('garbage')],
    ['gzip', Buffer.concat([zlib.gzipSync(body), Buffer.from('garbage')])],
    ['lzw', Buffer.from('garbage')]
  ]) {
    for (const path of ['/with', '/without']) {
      await upload(port, path, { agent, headers: { 'content-encoding': encoding }, pieces: [sent] })
    }
    const [ours, theirs] = [errors.with.at(-1), errors.without.at(-1)]
    assert.deepEqual([ours.status, ours.code, ours.expose], [theirs.status, theirs.code, theirs.expose], encoding)
    if (theirs.type !== undefined) assert.deepEqual([ours.type, ours.message], [theirs.type, theirs.message])
    if (theirs.code === 'Z_BUF_ERROR') assert.equal(ours.message, theirs.message)
  }
})
