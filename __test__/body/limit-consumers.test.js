'use strict'

// A body without a length is counted and cut before any consumer.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { PassThrough, pipeline } = require('node:stream')
const test = require('node:test')
const zlib = require('node:zlib')
const busboy = require('busboy')
const multer = require('multer')
const rawBody = require('raw-body')
const plimsoll = require('../..')
const { serve, until } = require('../support/http.js')
const { errorPage, upload, split, wire, chunk, LAST_CHUNK } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }
const LIMIT = 2000
const BOUNDARY = 'plimsoll-boundary'
const OWN = 'own'
const PLIMSOLL = 'plimsoll'
const BYTE_BY_BYTE = 'byte by byte'

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-limit-'))
test.after(() => fs.rmSync(folder, { recursive: true, force: true }))
let files = 0
function freshFile() {
  files += 1
  return path.join(folder, `upload-${files}`)
}

const plain = size => Buffer.alloc(size, 'x')
const multipart = size => {
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n`
  const tail = `\r\n--${BOUNDARY}--\r\n`
  return Buffer.from(head + 'x'.repeat(size - head.length - tail.length) + tail)
}
const form = { type: `multipart/form-data; boundary=${BOUNDARY}`, body: multipart }
const text = { type: 'text/plain', body: plain }

/**
 * What comes after the limit: middleware that reads a body of `type`, and `body(size)` with exactly that size. Further,
 * how it responds to one that is too large. `length(req)` is what was read of a body of LIMIT bytes.
 */
const readers = {
  'express.json': {
    type: 'application/json',
    body: size => Buffer.from(JSON.stringify('x'.repeat(size - 2))),
    handlers: ({ express }) => [express.json({ strict: false }), answer(req => req.body.length + 2)],
    page: OWN
  },
  'express.raw': {
    ...text,
    handlers: ({ express }) => [express.raw({ type: () => true }), answer(req => req.body.length)],
    page: OWN
  },
  'express.text': {
    ...text,
    handlers: ({ express }) => [express.text(), answer(req => req.body.length)],
    page: OWN
  },
  'express.urlencoded': {
    type: 'application/x-www-form-urlencoded',
    body: size => Buffer.from(`a=${'x'.repeat(size - 2)}`),
    handlers: ({ express }) => [express.urlencoded({ extended: false }), answer(req => req.body.a.length + 2)],
    page: OWN
  },
  'multer in memory': {
    ...form,
    handlers: () => [
      multer({ storage: multer.memoryStorage() }).single('file'),
      answer(req => req.file.size + LIMIT - filled())
    ],
    page: OWN
  },
  'multer on disk': {
    ...form,
    handlers: () => [
      multer({ dest: path.join(folder, 'multer') }).single('file'),
      answer(req => {
        fs.unlinkSync(req.file.path)
        return req.file.size + LIMIT - filled()
      })
    ],
    page: OWN,
    after: () => until(() => fs.readdirSync(path.join(folder, 'multer')).length === 0, 'multer has removed its file')
  },
  'busboy by hand': {
    ...form,
    handlers: () => [
      (req, res, next) => {
        let size = 0
        const parser = busboy({ headers: req.headers })
        parser.on('file', (_name, file) => file.on('data', piece => (size += piece.length)))
        parser.on('close', () => res.json({ length: size + LIMIT - filled() }))
        req.on('error', next)
        req.pipe(parser)
      }
    ],
    page: OWN
  },
  'busboy by hand, whose user does not listen for errors': {
    ...form,
    handlers: () => [
      (req, res) => {
        const parser = busboy({ headers: req.headers })
        parser.on('file', (_name, file) => file.resume())
        parser.on('close', () => res.json({ length: LIMIT }))
        req.pipe(parser)
      }
    ],
    page: PLIMSOLL
  },
  "a 'data' listener": { ...text, handlers: () => [listen], page: PLIMSOLL },
  "a 'data' listener beside an 'error' listener": {
    ...text,
    handlers: () => [
      (req, res, next) => {
        req.on('error', next)
        listen(req, res)
      }
    ],
    page: OWN
  },
  'pipe to a file': {
    ...text,
    handlers: () => [
      (req, res) => {
        const file = fs.createWriteStream(freshFile())
        file.on('finish', () => res.json({ length: fs.statSync(file.path).size }))
        req.on('close', () => req.complete || file.end())
        req.pipe(file)
      }
    ],
    page: PLIMSOLL
  },
  'pipeline to a file': {
    ...text,
    handlers: () => [
      (req, res, next) => {
        const file = fs.createWriteStream(freshFile())
        pipeline(req, file, error => (error ? next(error) : res.json({ length: fs.statSync(file.path).size })))
      }
    ],
    page: OWN
  },
  'for await': {
    ...text,
    handlers: () => [
      async (req, res, next) => {
        let length = 0
        try {
          for await (const piece of req) length += piece.length
        } catch (error) {
          return next(error)
        }
        res.json({ length })
      }
    ],
    page: OWN
  },
  'raw-body': {
    ...text,
    handlers: () => [
      (req, res, next) => rawBody(req, (error, body) => (error ? next(error) : res.json({ length: body.length })))
    ],
    page: OWN
  },
  'an async handler that reads late': {
    ...text,
    handlers: () => [
      async (req, res, next) => {
        // Past the point at which the body is cut: a body this small arrives without a read.
        await until(() => req.readableLength >= LIMIT || req.readableAborted || req.destroyed, 'the body has come')
        let length = 0
        try {
          for await (const piece of req) length += piece.length
        } catch (error) {
          return next(error)
        }
        res.json({ length })
      }
    ],
    page: OWN
  },
  'a stream in between': {
    ...text,
    handlers: () => [
      (req, res, next) => {
        let length = 0
        const between = new PassThrough()
        between.on('data', piece => (length += piece.length))
        pipeline(req, between, error => (error ? next(error) : res.json({ length })))
      }
    ],
    page: OWN
  }
}

function answer(length) {
  return (req, res) => res.json({ length: length(req) })
}

/** Bytes of the file within a multipart body of LIMIT bytes. */
function filled() {
  return multipart(LIMIT).toString().match(/x{9,}/)[0].length
}

function listen(req, res) {
  let length = 0
  req.on('data', piece => {
    length += piece.length
  })
  req.on('end', () => res.json({ length }))
}

/** How a body is split into pieces. */
const splits = {
  'in one piece': body => [body],
  'with its last byte alone': body => split(body, [body.length - 1]),
  'with a piece across the limit': body => split(body, [LIMIT - 1]),
  'with a piece that ends at the limit': body => split(body, [LIMIT]),
  [BYTE_BY_BYTE]: body => split(body, Array(body.length).fill(1))
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    for (const [name, reader] of Object.entries(readers)) {
      test(`cuts a chunked body in front of ${name}: exactly the limit passes, one byte more does not`, async t => {
        const seen = { errors: [], bytes: 0, ended: 0 }
        const forget = () => Object.assign(seen, { bytes: 0, ended: 0 }).errors.splice(0)
        const app = express()
        app.use(plimsoll())
        app.use(plimsoll.limit(LIMIT))
        app.use((req, _res, next) => {
          const { emit } = req
          req.emit = function (event, ...details) {
            if (event === 'data') seen.bytes += details[0].length
            if (event === 'end') seen.ended += 1
            return emit.call(this, event, ...details)
          }
          next()
        })
        app.post('/', ...reader.handlers({ express }))
        app.use(errorPage(seen.errors))
        const { port, close } = await serve(app)
        t.after(close)
        const headers = { 'content-type': reader.type }

        for (const [way, pieces] of Object.entries(splits)) {
          const within = await upload(port, '/', { headers, pieces: pieces(reader.body(LIMIT)) })
          assert.deepEqual([within.status, within.json], [200, { length: LIMIT }], way)
          assert.equal(seen.ended, 1, 'whole')
          assert.deepEqual(seen.errors, [])

          for (const size of way === BYTE_BY_BYTE ? [LIMIT + 1] : [LIMIT + 1, 40 * LIMIT]) {
            forget()
            const over = await upload(port, '/', { headers, pieces: pieces(reader.body(size)) })
            assert.equal(over.status, 413, `${way}: ${size}`)
            if (reader.page === OWN) {
              assert.equal(over.json?.page, 'own', `${way}: ${over.body}`)
              assert.deepEqual([over.json.type, over.json.limit], ['entity.too.large', LIMIT])
              assert.ok(over.json.received > LIMIT && over.json.received <= size)
              assert.equal(seen.errors.length, 1, 'told once')
            } else {
              assert.equal(over.body, 'request entity too large\n')
              assert.deepEqual(seen.errors, [], 'nobody listens')
            }
            assert.equal(seen.ended, 0, 'a cut body never ends')
            assert.ok(seen.bytes <= LIMIT, `${way}: the reader saw ${seen.bytes}`)
            await reader.after?.()
          }
          forget()
        }
        await until(() => plimsoll.stats().requests.inFlight === 0, 'no request is in flight')
      })
    }

    /**
     * An app with the handler `handler`, and a connection that sends it a body that exceeds the limit and continues.
     */
    async function overflow(t, handler) {
      const app = express()
      app.use(plimsoll())
      app.use(plimsoll.limit(LIMIT))
      app.post('/', handler)
      app.use(errorPage([]))
      const { port, close } = await serve(app)
      t.after(close)
      const client = await wire(port)
      t.after(() => client.socket.destroy())
      client.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', chunk(plain(LIMIT)))
      client.over = () => client.write(chunk('x'))
      return client
    }

    test('answers for a compressed body, counted as it comes', async t => {
      const app = express()
      app.use(plimsoll.limit(LIMIT))
      app.post(
        '/',
        express.raw({ type: () => true, limit: '10mb' }),
        answer(req => req.body.length)
      )
      app.use(errorPage([]))
      const { port, close } = await serve(app)
      t.after(close)
      const headers = { 'content-encoding': 'gzip' }
      const small = await upload(port, '/', { headers, pieces: [zlib.gzipSync(plain(100_000))] })
      assert.deepEqual(small.json, { length: 100_000 })
      const noise = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * i * 31) % 251))
      const large = await upload(port, '/', {
        headers,
        pieces: split(zlib.gzipSync(noise, { level: 0 }), [1000, 1000, 1000])
      })
      assert.equal(large.status, 413)
    })

    test("releases a parser that waits for the end of what is over its own limit: its error is the app's", async t => {
      const app = express()
      app.use(plimsoll.limit(LIMIT))
      app.post('/', express.raw({ type: () => true, limit: 1000 }))
      app.use(errorPage([]))
      const { port, close } = await serve(app)
      t.after(close)
      const client = await wire(port)
      client.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', chunk(plain(1500)))
      client.write(chunk(plain(1500)))
      const [{ status, body }] = await client.responses(1)
      assert.deepEqual([status, JSON.parse(body).limit], [413, 1000])
      client.socket.destroy()
    })

    test('a cut body does not look complete, though the server has read its end', async t => {
      let cut
      const client = await overflow(t, req => {
        cut = req.resume()
      })
      client.write(chunk('x'), LAST_CHUNK, 'GET /none HTTP/1.1\r\nHost: x\r\n\r\n')
      await client.responses(2)
      assert.deepEqual([cut.complete, cut.readableEnded, cut.readableAborted], [false, false, true])
    })

    test('responds if no handler reads or responds', async t => {
      const client = await overflow(t, () => {})
      client.over()
      const [{ status, body }] = await client.responses(1)
      assert.deepEqual([status, body], [413, 'request entity too large\n'])
    })

    test('responds if the reader handles the error and sends nothing', async t => {
      const client = await overflow(t, req => req.on('error', () => {}).resume())
      client.over()
      assert.equal((await client.responses(1))[0].status, 413)
    })

    test('ignores what a handler still writes after plimsoll has answered, and calls it back', async t => {
      let late
      let after = null
      const client = await overflow(t, (req, res) => {
        res.setHeader('content-encoding', 'x')
        res.setHeader('transfer-encoding', 'chunked')
        req.resume()
        late = async () => {
          res.status(200).set('x-late', '1').cookie('a', 'b')
          res.append('x-late', '2')
          res.setHeaders?.(new Map([['x-late', '3']]))
          res.writeHead(201, { 'x-late': '4' }).flushHeaders()
          res.removeHeader('content-type')
          res.writeContinue()
          const written = res.write('late')
          await new Promise(resolve => res.write('late', resolve))
          await new Promise(resolve => res.end('late', resolve))
          res.json({ late: true })
          res.redirect('/')
          res.sendStatus(500)
          after = { written, status: res.statusCode, sent: res.headersSent }
        }
      })
      client.over()
      const [{ status, headers, body }] = await client.responses(1)
      assert.deepEqual([status, body], [413, 'request entity too large\n'])
      assert.equal(headers['content-encoding'], undefined, 'nor what it had prepared')
      assert.equal(headers['transfer-encoding'], undefined)
      await late()
      assert.deepEqual(after, { written: true, status: 413, sent: true }, 'access logs tell what was sent')
      client.write(chunk('x'), LAST_CHUNK)
      client.socket.end()
      await until(client.closed, 'the connection ends')
      assert.equal((await client.responses(1)).length, 1, 'nothing else came on this connection')
    })

    test('tears down a response that had begun, so that it does not look whole', async t => {
      const client = await overflow(t, (req, res) => {
        res.writeHead(200)
        res.write('begun')
        req.resume().on('end', () => res.end())
      })
      client.over()
      await until(client.closed, 'the connection ends')
      assert.deepEqual(await client.responses(0), [], 'and no response was completed')
    })

    test('leaves a response that had begun to a handler that receives the error', async t => {
      const client = await overflow(t, (req, res) => {
        res.writeHead(200, { 'content-length': 9 })
        res.write('stop: ')
        req.on('error', error => res.end(String(error.status)))
        req.resume()
      })
      client.over()
      const [{ status, body }] = await client.responses(1)
      assert.deepEqual([status, body], [200, 'stop: 413'])
    })
  })
}
