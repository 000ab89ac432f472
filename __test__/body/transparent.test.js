'use strict'

// With limits that no body reaches, consumers behave as without them. They receive the same bodies, the same errors,
// and the same order of events. This holds for all sizes and pieces, on kept and pipelined connections.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')
const { setImmediate: turn } = require('node:timers/promises')
const busboy = require('busboy')
const { formidable } = require('formidable')
const multer = require('multer')
const rawBody = require('raw-body')
const plimsoll = require('../..')
const { serve, until } = require('../support/http.js')
const { chunk, LAST_CHUNK, random, split, wire } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }
const BOUNDARY = 'a-boundary'
const OWN_LIMIT = 50_000
/** Sizes of a body: none, one byte, some, more than a stream's buffer, more than the reader's own limit. */
const SIZES = [0, 1, 700, 20_000, 49_000, 90_000]

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-transparent-'))
test.after(() => fs.rmSync(folder, { recursive: true, force: true }))

const guards = {
  'a limit': () => [plimsoll.limit('1gb')],
  'a limit that waits for the first read, a budget and a rate': () => [
    plimsoll(),
    plimsoll.limit({
      limit: { 'text/html': 1, default: '1gb' },
      defer: true,
      budget: '2gb',
      minRate: 1,
      inflate: true
    }),
    plimsoll.limit({ limit: () => 2 ** 30 })
  ]
}

const form = { type: `multipart/form-data; boundary=${BOUNDARY}`, body: multipart }
const seal = data => createHash('sha256').update(data).digest('hex')

/** The readers, and what is sent to each. `take` is its middleware, `answer(req)` the result. */
const readers = {
  json: {
    type: 'application/json',
    body: data => Buffer.from(JSON.stringify({ text: data.toString('base64') })),
    take: express => express.json({ limit: OWN_LIMIT })
  },
  urlencoded: {
    type: 'application/x-www-form-urlencoded',
    body: data => Buffer.from(`text=${data.toString('hex')}`),
    take: express => express.urlencoded({ extended: true, limit: OWN_LIMIT })
  },
  text: { type: 'text/plain', body: data => data, take: express => express.text({ limit: OWN_LIMIT }) },
  raw: {
    type: 'application/octet-stream',
    body: data => data,
    take: express => express.raw({ limit: OWN_LIMIT }),
    answer: req => (Buffer.isBuffer(req.body) ? seal(req.body) : 'no body')
  },
  'raw-body': {
    type: 'application/x-own',
    body: data => data,
    take: () => (req, _res, next) =>
      rawBody(req, { length: req.headers['content-length'], limit: OWN_LIMIT }, (error, data) => {
        // It stops reading, and leaves the rest to the caller.
        req.resume()
        if (error) return next(error)
        req.body = seal(data)
        next()
      })
  },
  multer: {
    ...form,
    take: () => multer({ storage: multer.memoryStorage(), limits: { fileSize: OWN_LIMIT } }).single('file'),
    answer: req => ({ fields: { ...req.body }, file: req.file ? seal(req.file.buffer) : null })
  },
  busboy: {
    ...form,
    take: () => (req, _res, next) => {
      const found = []
      const parser = busboy({ headers: req.headers, limits: { fileSize: OWN_LIMIT } })
      parser.on('field', (name, value) => found.push([name, value]))
      parser.on('file', (name, file) => {
        const hash = createHash('sha256')
        file.on('data', piece => hash.update(piece))
        file.on('error', () => {})
        file.on('end', () => found.push([name, hash.digest('hex'), file.truncated]))
      })
      let failed = false
      parser.on('error', error => {
        if (!failed) next(Object.assign(error, { status: 400 }))
        failed = true
      })
      parser.on('close', () => {
        req.body = found
        if (!failed) next()
      })
      req.pipe(parser)
    }
  },
  formidable: {
    ...form,
    take: () => (req, _res, next) => {
      const options = { uploadDir: folder, maxFileSize: OWN_LIMIT, allowEmptyFiles: true, minFileSize: 0 }
      formidable(options).parse(req, (error, fields, files) => {
        if (error) return next(Object.assign(error, { status: error.httpCode ?? 400 }))
        req.body = [fields, files.file?.map(file => seal(fs.readFileSync(file.filepath)))]
        next()
      })
    }
  },
  'a data listener': {
    type: 'text/csv',
    body: data => data,
    take: () => (req, _res, next) => {
      const pieces = []
      req.on('data', piece => pieces.push(piece))
      req.on('end', () => {
        req.body = seal(Buffer.concat(pieces))
        next()
      })
      req.on('error', next)
    }
  },
  nobody: { type: 'text/xml', body: data => data, take: () => (_req, _res, next) => next() }
}

function multipart(data) {
  return Buffer.concat([
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="field"\r\n\r\nits value\r\n`),
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n`),
    data,
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
  ])
}

/** An app that records the events of each request by its number: in order, and one for several pieces. */
function observed(express, guard) {
  const logs = new Map()
  const app = express()
  app.use((req, res, next) => {
    const log = []
    const note = what => log.at(-1) !== what && log.push(what)
    listenIn(req, ['data', 'end', 'close', 'error', 'aborted'], note)
    listenIn(res, ['finish', 'close'], what => note(`response ${what}`))
    logs.set(req.headers['x-number'], log)
    next()
  })
  for (const each of guard) app.use(each)
  for (const [name, reader] of Object.entries(readers)) {
    app.post(`/${encodeURIComponent(name)}`, reader.take(express), (req, res) => {
      res.json({ answer: seal(JSON.stringify(reader.answer?.(req) ?? req.body ?? 'nothing')) })
    })
  }
  app.use((error, _req, res, _next) => {
    const { name, message, status, type, code, expected, length, limit } = error
    res.status(status ?? 500).json({ error: { name, message, type, code, expected, length, limit } })
  })
  return { app, logs }
}

function listenIn(emitter, events, note) {
  const { emit } = emitter
  emitter.emit = function (event, ...args) {
    if (events.includes(event)) note(event)
    return emit.call(this, event, ...args)
  }
}

/** Requests to one reader: bodies of all sizes, whole and broken, declared and in chunks. */
function* script(name, next) {
  const { type, body } = readers[name]
  for (const size of SIZES) {
    const data = Buffer.from(Array.from({ length: size }, () => Math.floor(next() * 256)))
    const whole = body(data)
    const broken = whole.subarray(0, Math.floor(whole.length * next()))
    for (const sent of [whole, broken]) {
      for (const chunked of [false, true]) yield { name, type, sent, chunked }
    }
    yield { name, type: `${type}; charset=x-unknown`, sent: whole, chunked: next() < 0.5 }
  }
}

function partsOf({ name, type, sent, chunked }, number, next) {
  const sizes = Array.from({ length: 6 }, () => 1 + Math.floor(next() * (sent.length + 1)))
  const head =
    `POST /${encodeURIComponent(name)} HTTP/1.1\r\nHost: x\r\nX-Number: ${number}\r\nContent-Type: ${type}\r\n` +
    (chunked ? 'Transfer-Encoding: chunked\r\n\r\n' : `Content-Length: ${sent.length}\r\n\r\n`)
  const pieces = sent.length === 0 ? [] : split(sent, sizes)
  return chunked ? [head, ...pieces.map(chunk), LAST_CHUNK] : [head, ...pieces]
}

/** The results of a script's requests, sent on kept connections, several at once on each. */
async function play(express, guard, name, seed) {
  const { app, logs } = observed(express, guard)
  const server = await serve(app)
  const next = random(seed)
  const results = []
  try {
    const requests = [...script(name, next)]
    for (let at = 0; at < requests.length; ) {
      const batch = requests.slice(at, at + 1 + Math.floor(next() * 4))
      const client = await wire(server.port)
      for (const [i, each] of batch.entries()) {
        for (const part of partsOf(each, at + i, next)) {
          client.write(part)
          if (next() < 0.3) await turn()
        }
      }
      const answers = await client.responses(batch.length)
      const logsOf = batch.map((_, i) => logs.get(String(at + i)))
      await until(() => logsOf.every(log => log.includes('response close')), 'the responses are closed')
      // The body may be unread.
      client.socket.destroy()
      await until(() => logsOf.every(log => log.includes('close')), 'the requests are closed')
      for (const [i, { status, body }] of answers.entries()) {
        const { sent, chunked } = batch[i]
        results.push({
          request: at + i,
          size: sent.length,
          chunked,
          status,
          body,
          log: certain(logsOf[i], name, status)
        })
      }
      at += batch.length
    }
    return results
  } finally {
    await server.close()
  }
}

/**
 * If the response comes before the body is read to its end, the order depends on the network. A body that is read whole
 * has one order.
 */
function certain(log, name, status) {
  return status === 200 && name !== 'nobody' ? log : log.filter(event => event.startsWith('response'))
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    for (const [what, guard] of Object.entries(guards)) {
      for (const [i, name] of Object.keys(readers).entries()) {
        test(`${name} after ${what}`, async () => {
          const seed = 1000 + i
          const [bare, guarded] = [await play(express, [], name, seed), await play(express, guard(), name, seed)]
          assert.deepEqual(guarded, bare)
          assert.ok(bare.some(({ status }) => status === 200))
        })
      }
    }
  })
}
