'use strict'

/*
 * A guard after an asynchronous middleware. By then part of the body, or all of it, may be in the stream's buffer, and
 * the stream may have ended. A guard must limit a body with this wait as it does without it.
 */

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http = require('node:http')
const { test } = require('node:test')
const zlib = require('node:zlib')
const connect = require('connect')
const express5 = require('express')
const express4 = require('express4')
const plimsoll = require('../..')
const internalErrors = require('../../lib/core/internal-errors.js')
const { request, serve, until } = require('../support/http.js')
const { LAST_CHUNK, chunk, wire } = require('../support/uploads.js')

const KB = 1024

/** Records each body that a handler has read, and each error. */
function app(make, middleware, handler) {
  const app = make()
  app.set?.('env', 'test')
  for (const each of middleware) app.use(each)
  app.use(handler)
  app.use((error, _req, res, _next) => {
    res.statusCode = error.status ?? 500
    res.end(error.type ?? 'failed')
  })
  return app
}

/** Plain `http`: the middleware in a row. */
function plain() {
  const stack = []
  const server = http.createServer((req, res) => {
    const run = (at, error) => {
      const next = error => run(at + 1, error)
      const each = stack[at]
      if (each === undefined) return res.end()
      if ((error !== undefined) !== (each.length === 4)) return run(at + 1, error)
      return error === undefined ? each(req, res, next) : each(error, req, res, next)
    }
    run(0)
  })
  server.use = each => stack.push(each)
  return server
}

const servers = { 'express 5': express5, 'express 4': express4, connect, http: plain }

/** Continues when `isDue(req)`. */
const later = isDue => (req, _res, next) => {
  const look = () => (isDue(req) ? next() : setImmediate(look))
  look()
}

/** When the guard runs: at once, when something has arrived, when the buffer is full, or when the body has ended. */
const waits = {
  'at once': (_req, _res, next) => next(),
  'when some of the body has come': later(req => req.readableLength > 0 || req.complete),
  'when as much has come as the stream takes': later(
    req => req.complete || req.readableLength >= req.readableHighWaterMark
  )
}

/** How a handler reads: each returns the number of bytes, or fails like its stream. */
const readers = {
  flowing: async req => {
    let bytes = 0
    req.on('data', data => {
      bytes += data.length
    })
    await once(req, 'end')
    return bytes
  },
  paused: async req => {
    let bytes = 0
    req.on('readable', () => {
      // In small pieces: a full buffer causes no further read.
      for (let data = req.read(100) ?? req.read(); data !== null; data = req.read(100) ?? req.read())
        bytes += data.length
    })
    await once(req, 'end')
    return bytes
  },
  iterating: async req => {
    let bytes = 0
    for await (const data of req) bytes += data.length
    return bytes
  }
}

const handler = read => (req, res, next) => {
  read(req).then(bytes => res.end(`read ${bytes}`), next)
}

const SIZES = [1500, 60_000, 65_536, 200_000]

/** Guards with a limit of 1 KB, each in every form of its option. */
const guards = {
  'a size': () => plimsoll.limit('1kb'),
  'by type': () => plimsoll.limit({ 'text/plain': '1kb', default: '1gb' }),
  'by function': () => plimsoll.limit(() => KB),
  'by route': () => plimsoll.limit({ limit: '1gb', routes: { 'POST /': '1kb' } }),
  'as a fallback': () => plimsoll.limit({ limit: () => undefined, fallback: '1kb' }),
  deferred: () => plimsoll.limit({ limit: '1kb', defer: true }),
  'deferred, by function': () => plimsoll.limit({ limit: () => KB, defer: true }),
  'deferred, inflating': () => plimsoll.limit({ limit: '1kb', defer: true, inflate: true }),
  inflating: () => plimsoll.limit({ limit: '1kb', inflate: true }),
  'a budget': () => plimsoll.limit({ limit: '1gb', budget: '1kb' }),
  'a deferred budget': () => plimsoll.limit({ limit: '1gb', budget: '1kb', defer: true }),
  'a budget, inflating': () => plimsoll.limit({ limit: '1gb', budget: '1kb', inflate: true }),
  'a spool with a limit': () => plimsoll.spool({ limit: '1kb' })
}

const spooled = async req => {
  let bytes = 0
  for await (const data of req.body.stream()) bytes += data.length
  return bytes
}

async function post(port, body, chunked, headers = {}) {
  return request(port, '/', {
    method: 'POST',
    headers: { 'content-type': 'text/plain', ...headers, ...(chunked ? { 'transfer-encoding': 'chunked' } : {}) },
    body
  })
}

for (const [server, make] of Object.entries(servers)) {
  for (const [when, wait] of Object.entries(waits)) {
    test(`${server}: each guard bounds bodies that it meets ${when}`, async t => {
      const before = internalErrors.seen.count
      for (const [what, guard] of Object.entries(guards)) {
        for (const [how, read] of Object.entries(what.startsWith('a spool') ? { spooled } : readers)) {
          const { port, close } = await serve(app(make, [plimsoll({ recorder: false }), wait, guard()], handler(read)))
          t.after(close)
          for (const chunked of [false, true]) {
            const seen = `${what}, ${how}, ${chunked ? 'chunked' : 'declared'}`
            for (const size of SIZES) {
              const { status } = await post(port, Buffer.alloc(size, 'x'), chunked)
              assert.equal(status, 413, `${seen}: ${size}`)
            }
            for (const size of [1, 1000, KB]) {
              const { status, body } = await post(port, Buffer.alloc(size, 'x'), chunked)
              assert.deepEqual([status, body], [200, `read ${size}`], seen)
            }
          }
        }
      }
      // All but the fallback's own, whose function fails on purpose.
      const failed = internalErrors.seen.count - before
      assert.equal(failed % ((SIZES.length + 3) * 2), 0)
    })
  }
}

for (const [when, wait] of Object.entries(waits)) {
  test(`compressed bodies that grow over the limit are refused ${when}`, async t => {
    for (const options of [{ limit: '1kb' }, { limit: '1kb', defer: true }, { limit: '1gb', budget: '1kb' }]) {
      for (const [how, read] of Object.entries(readers)) {
        const guard = plimsoll.limit({ ...options, inflate: { ratio: Number.POSITIVE_INFINITY } })
        const { port, close } = await serve(app(express5, [wait, guard], handler(read)))
        t.after(close)
        for (const chunked of [false, true]) {
          const seen = `${JSON.stringify(options)}, ${how}, ${chunked}`
          const large = zlib.gzipSync(Buffer.alloc(200_000, 'x'))
          const small = zlib.gzipSync(Buffer.alloc(KB, 'x'))
          const headers = { 'content-encoding': 'gzip' }
          assert.equal((await post(port, large, chunked, headers)).status, 413, seen)
          assert.equal((await post(port, small, chunked, headers)).body, `read ${KB}`, seen)
        }
      }
    }
  })

  test(`a report counts what it would refuse ${when}, once, and refuses nothing`, async t => {
    for (const options of [{ limit: '1kb' }, { limit: '1kb', defer: true }, { limit: '1gb', budget: '1kb' }]) {
      const guard = plimsoll.limit({ ...options, report: true })
      const { port, close } = await serve(app(express5, [wait, guard], handler(readers.flowing)))
      t.after(close)
      for (const chunked of [false, true]) {
        const before = plimsoll.stats().requests.limitReported
        assert.equal((await post(port, Buffer.alloc(60_000), chunked)).body, 'read 60000')
        assert.equal(plimsoll.stats().requests.limitReported, before + 1, `${JSON.stringify(options)} ${chunked}`)
      }
    }
  })

  test(`a body that has come is not slow, however long its handler takes (${when})`, async t => {
    for (const defer of [false, true]) {
      const guard = plimsoll.limit({ limit: '1mb', defer, minRate: { bytes: '1mb', graceMs: 1 } })
      const { port, close } = await serve(
        app(express5, [wait, guard], (req, res) => {
          if (!req.complete) return void req.once('end', () => slow(res)).resume()
          slow(res)
        })
      )
      t.after(close)
      // Some ticks of the timer that watches the rate.
      const slow = res => setTimeout(() => res.end('served'), 800)
      assert.equal((await post(port, 'x', false)).body, 'served')
    }
  })
}

test('a report does not limit a body that is read after the response either', async t => {
  for (const defer of [false, true]) {
    const read = {}
    read.done = new Promise(resolve => {
      read.resolve = resolve
    })
    const guard = plimsoll.limit({ limit: '1kb', defer, report: true })
    const answerFirst = (req, res) => {
      res.end('answered')
      readers.flowing(req).then(read.resolve, read.resolve)
    }
    const { port, close } = await serve(app(express5, [guard], answerFirst))
    t.after(close)
    const before = plimsoll.stats().requests.limitReported
    assert.equal((await post(port, Buffer.alloc(60_000), true)).body, 'answered')
    assert.equal(await read.done, 60_000, `defer: ${defer}`)
    assert.equal(plimsoll.stats().requests.limitReported, before + 1)
  }
})

// Requests that are pipelined after a refusal

const SLOW = 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n'
const PAY = 'POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n'
const declared = `POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n${'x'.repeat(300_000)}`
const pieces = Array.from({ length: 5 }, () => chunk('x'.repeat(60_000)).toString())
const chunked = `POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${pieces.join('')}${LAST_CHUNK}`

for (const [kind, make] of Object.entries(servers)) {
  for (const [what, upload] of Object.entries({ declared, chunked })) {
    for (const first of ['', SLOW]) {
      test(`${kind}: what follows a refused ${what} body runs only if it gets a response${first && ', after a slow response'}`, async t => {
        const held = []
        let paid = 0
        const middleware = [plimsoll({ recorder: false }), plimsoll.limit('1kb')]
        const served = app(make, middleware, (req, res) => {
          if (req.url === '/slow') held.push(res)
          else if (req.url === '/pay') res.end(`paid ${++paid}`)
          else req.on('error', () => {}).resume()
        })
        const { port, close } = await serve(served)
        t.after(close)
        const refused = plimsoll.stats().requests.limited
        const client = await wire(port)
        client.write(first, upload, PAY, PAY)
        if (first !== '') {
          await until(() => plimsoll.stats().requests.limited > refused, 'the refusal')
          // Plimsoll sends the responses to a refusal that no handler responds to, some ticks later.
          await request(port, '/pay')
          paid -= 1
          held[0].end('slow')
        }
        const answers = await client.responses(first === '' ? 1 : 2)
        const last = answers.findIndex(({ status }) => status === 413)
        assert.equal(last, first === '' ? 0 : 1)
        const closes = answers[last].headers.connection === 'close'
        if (!closes) await client.responses(last + 3)
        else await until(client.closed, 'the end of the connection')
        assert.equal(paid, closes ? 0 : 2)
        client.socket.destroy()
      })
    }
  }
}

test('after a refused body of a few bytes, which is read, the connection continues', async t => {
  const { port, close } = await serve(
    app(express5, [plimsoll.limit('1kb')], (req, res) => void res.end(`served ${req.url}`))
  )
  t.after(close)
  const client = await wire(port)
  client.write(`POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n${'x'.repeat(2000)}`, PAY)
  const [refused, paid] = await client.responses(2)
  assert.deepEqual([refused.status, paid.body], [413, 'served /pay'])
  client.socket.destroy()
})
