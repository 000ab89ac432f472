'use strict'

// A consumer after an inflating limit reads what was compressed.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')
const { pipeline } = require('node:stream')
const { buffer } = require('node:stream/consumers')
const test = require('node:test')
const { setImmediate: turn } = require('node:timers/promises')
const busboy = require('busboy')
const multer = require('multer')
const rawBody = require('raw-body')
const plimsoll = require('../..')
const { content, encodings, needZstd, seal, seen } = require('../support/encodings.js')
const { serve } = require('../support/http.js')
const { errorPage, upload, split, random } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }
const BOUNDARY = 'plimsoll-boundary'
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-inflate-'))
test.after(() => fs.rmSync(folder, { recursive: true, force: true }))

const plain = { type: 'text/plain', body: data => [data, data] }
const latin = data => Buffer.from(data.toString('base64'))
const form = {
  type: `multipart/form-data; boundary=${BOUNDARY}`,
  body(data) {
    const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n`
    return [Buffer.concat([Buffer.from(head), data, Buffer.from(`\r\n--${BOUNDARY}--\r\n`)]), data]
  }
}

/** The readers. `body(data)` is what is sent, uncompressed, and what the handler must receive. */
const readers = {
  'express.json': {
    type: 'application/json',
    body: data => [Buffer.from(JSON.stringify({ data: latin(data).toString() })), latin(data)],
    handlers: express => [express.json({ limit: '10mb' }), (req, res) => seen(res, req.body.data)]
  },
  'express.text': {
    type: 'text/plain',
    body: data => [latin(data), latin(data)],
    handlers: express => [express.text({ limit: '10mb' }), (req, res) => seen(res, req.body)]
  },
  'express.raw': {
    ...plain,
    handlers: express => [express.raw({ type: () => true, limit: '10mb' }), (req, res) => seen(res, req.body)]
  },
  'express.urlencoded': {
    type: 'application/x-www-form-urlencoded',
    body: data => [Buffer.from(`a=${data.toString('hex')}`), Buffer.from(data.toString('hex'))],
    handlers: express => [
      express.urlencoded({ extended: false, limit: '10mb' }),
      (req, res) => seen(res, req.body.a ?? '')
    ]
  },
  'multer in memory': {
    ...form,
    handlers: () => [
      multer({ storage: multer.memoryStorage() }).single('file'),
      (req, res) => seen(res, req.file.buffer)
    ]
  },
  'busboy by hand': {
    ...form,
    handlers: () => [
      (req, res) => {
        const parser = busboy({ headers: req.headers })
        parser.on('file', async (_name, file) => seen(res, await buffer(file)))
        req.pipe(parser)
      }
    ]
  },
  'raw-body, with the length that the headers tell': {
    ...plain,
    handlers: () => [
      async (req, res) => seen(res, await rawBody(req, { length: req.headers['content-length'], limit: '10mb' }))
    ]
  },
  "a 'data' listener": {
    ...plain,
    handlers: () => [
      (req, res) => {
        const pieces = []
        req.on('data', piece => pieces.push(piece))
        req.on('end', () => seen(res, Buffer.concat(pieces)))
      }
    ]
  },
  "a 'readable' listener": {
    ...plain,
    handlers: () => [
      (req, res) => {
        const pieces = []
        req.on('readable', () => {
          for (let piece = req.read(); piece !== null; piece = req.read()) pieces.push(piece)
        })
        req.on('end', () => seen(res, Buffer.concat(pieces)))
      }
    ]
  },
  'pipeline to a file': {
    ...plain,
    handlers: () => [
      (req, res, next) => {
        const file = path.join(folder, `${Math.random()}`)
        pipeline(req, fs.createWriteStream(file), error => {
          if (error) return next(error)
          seen(res, fs.readFileSync(file))
          fs.unlinkSync(file)
        })
      }
    ]
  },
  'for await': {
    ...plain,
    handlers: () => [
      async (req, res) => {
        const pieces = []
        for await (const piece of req) pieces.push(piece)
        seen(res, Buffer.concat(pieces))
      }
    ]
  },
  'a slow reader': {
    ...plain,
    handlers: () => [
      async (req, res) => {
        const pieces = []
        for await (const piece of req) {
          await turn()
          pieces.push(piece)
        }
        seen(res, Buffer.concat(pieces))
      }
    ]
  },
  'a handler that reads late': {
    ...plain,
    handlers: () => [
      async (req, res) => {
        for (let i = 0; i < 5; i++) await turn()
        seen(res, await buffer(req))
      }
    ]
  }
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    for (const [name, reader] of Object.entries(readers)) {
      test(`${name} gets what was compressed, whatever the encoding and the pieces`, async t => {
        if (!needZstd(t)) return
        const app = express()
        app.use(plimsoll())
        app.use(plimsoll.limit({ limit: '10mb', inflate: true }))
        app.post('/', ...reader.handlers(express))
        app.use(errorPage([]))
        const { port, close } = await serve(app)
        t.after(close)
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
        t.after(() => agent.destroy())
        const next = random(name.length)
        for (const most of [0, 200, 60_000, 600_000]) {
          const [body, expected] = reader.body(content(next, most))
          for (const [way, { name: encoding, encode }] of Object.entries(encodings)) {
            const sent = encode(body)
            const mean = 1 + next() * next() * 100_000
            const sizes = Array.from({ length: 50 }, () => Math.ceil(next() * mean))
            for (const length of [{}, { 'content-length': sent.length }]) {
              const headers = { 'content-type': reader.type, 'content-encoding': encoding, ...length }
              const {
                status,
                json,
                body: answer
              } = await upload(port, '/', {
                agent,
                headers,
                pieces: split(sent, sizes)
              })
              assert.equal(status, 200, `${way}, ${body.length} bytes: ${answer}`)
              assert.deepEqual(json, seal(expected), way)
            }
          }
        }
      })
    }
  })
}
