'use strict'

// Receives uploads with one of the KINDS of servers, and responds with their size. Argument: JSON { kind, scenario, dir,
// root }. `root` is the checkout of Plimsoll. Output: a JSON line { port, versions }.
//
// In the scenarios of TOGETHER, it sends all responses when as many bodies have arrived as the header `x-together` says.

const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const readline = require('node:readline')
const zlib = require('node:zlib')

const { kind, scenario, dir, root } = JSON.parse(process.argv[2])
const plimsoll = () => require(root)
const LIMIT = scenario === 'refused' ? 1 << 20 : 2 ** 31
const TOGETHER = ['held', 'read']

const held = []

// Calls `answer` now, or together with the others. The closure retains the body.
function whenAll(req, answer) {
  held.push(answer)
  if (TOGETHER.includes(scenario) && held.length < Number(req.headers['x-together'])) return
  for (const each of held.splice(0)) each()
}

function express(setUp) {
  const app = require('express')()
  setUp(app, require('express'))
  // Unlike the default handler, it prints nothing.
  app.use((error, _req, res, _next) => res.status(error.status ?? 500).json({ error: error.message }))
  return http.createServer(app)
}

const size =
  (sizeOf, clean = () => {}) =>
  (req, res) =>
    whenAll(req, () => {
      res.json({ size: sizeOf(req) })
      clean(req)
    })

function multer(app, options) {
  const upload = require('multer')({ ...options, limits: { fileSize: LIMIT } })
  const clean = req => options.dest && fs.unlink(req.file.path, () => {})
  app.post(
    '/',
    upload.single('file'),
    size(req => req.file.size, clean)
  )
}

function answerSize(stream, res) {
  let size = 0
  stream.on('data', chunk => {
    size += chunk.length
  })
  stream.on('end', () => res.json({ size }))
}

const drained = (req, res) => answerSize(req, res)

// Reads a stream when all bodies have arrived, and responds with its size.
const readBack = open => (req, res, next) =>
  whenAll(req, async () => {
    try {
      let size = 0
      for await (const chunk of await open(req)) size += chunk.length
      res.json({ size })
    } catch (error) {
      next(error)
    }
  })

// Moves the body to a file with a name, and opens it. The name is removed after that.
async function fileStream(req) {
  const file = path.join(dir, `upload-${process.pid}-${++files}`)
  await req.body.moveTo(file)
  const stream = fs.createReadStream(file)
  stream.once('open', () => fs.unlink(file, () => {}))
  return stream
}
let files = 0

function spooled(handler) {
  return express(app => app.post('/', plimsoll().spool({ dir }), handler))
}

const KINDS = {
  bare: () => express(app => app.post('/', drained)),
  limit: () => express(app => app.post('/', plimsoll().limit(LIMIT), drained)),
  'limit-inflate': () => express(app => app.post('/', plimsoll().limit({ limit: LIMIT, inflate: true }), drained)),
  'zlib-inflate': () =>
    express(app =>
      app.post('/', (req, res) => {
        const inflated = zlib.createUnzip()
        req.pipe(inflated)
        answerSize(inflated, res)
      })
    ),
  spool: () => spooled(size(req => req.body.size)),
  'spool-stream': () => spooled(readBack(req => req.body.stream())),
  'spool-file': () => spooled(readBack(fileStream)),
  'spool-memory': () =>
    express(app =>
      app.post(
        '/',
        plimsoll().spool({ dir, memory: '16mb' }),
        size(req => req.body.size)
      )
    ),
  'express-raw': () =>
    express((app, { raw }) =>
      app.post(
        '/',
        raw({ type: () => true, limit: LIMIT }),
        size(req => req.body.length)
      )
    ),
  'express-json': () =>
    express((app, { json }) =>
      app.post(
        '/',
        json({ limit: LIMIT }),
        size(req => req.body.text.length)
      )
    ),
  'multer-memory': () => express(app => multer(app, { storage: require('multer').memoryStorage() })),
  'multer-disk': () => express(app => multer(app, { dest: dir })),
  fastify() {
    const app = require('fastify')({ bodyLimit: LIMIT })
    app.post('/', (req, reply) => {
      whenAll(req, () => reply.send({ size: req.body.text.length }))
    })
    return app
  }
}

const PACKAGES = { bare: 'express', limit: 'plimsoll', spool: 'plimsoll', zlib: 'express' }

function versions() {
  const [first] = kind.split('-')
  const name = PACKAGES[first] ?? first
  return { [name]: require(`${name === 'plimsoll' ? root : name}/package.json`).version }
}

async function main() {
  const made = KINDS[kind]()
  await (made.server === undefined
    ? new Promise(resolve => made.listen(0, '127.0.0.1', resolve))
    : made.listen({ port: 0, host: '127.0.0.1' }))
  const server = made.server ?? made
  process.stdout.write(`${JSON.stringify({ port: server.address().port, versions: versions() })}\n`)
  readline.createInterface({ input: process.stdin }).on('close', () => {
    server.close(() => process.exit(0))
    server.closeAllConnections()
  })
}

main().catch(error => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
