'use strict'

// A body through the whole chain: the tap, a limit that inflates it, and spooling. And how the limits treat a body that
// grows in it.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const { setImmediate: turn } = require('node:timers/promises')
const zlib = require('node:zlib')
const plimsoll = require('../..')
const { content, encodings, needZstd, seal } = require('../support/encodings.js')
const { serve, until } = require('../support/http.js')
const { onDisk, descriptors } = require('../support/spool.js')
const { errorPage, random, split, upload, wire } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }
const MEMORY = 20_000

async function served(t, app) {
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

const settled = () => until(() => plimsoll.stats().requests.bodyHeldBytes === 0, 'the budget is whole again')

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    test('what was sent is what is spooled, whatever it is, however it comes and in whatever pieces', async t => {
      if (!needZstd(t)) return
      const dir = onDisk(t)
      const app = express()
      app.use(plimsoll())
      app.use(
        plimsoll.limit({ limit: '10mb', budget: '1gb', minRate: 1, inflate: { ratio: Number.POSITIVE_INFINITY } })
      )
      app.post('/', plimsoll.spool({ memory: MEMORY, dir }), async (req, res) => {
        const pieces = []
        for await (const piece of req.body.stream()) pieces.push(piece)
        const streamed = Buffer.concat(pieces)
        assert.ok(streamed.equals(await req.body.buffer()))
        res.json({ ...seal(streamed), size: req.body.size })
      })
      const { port } = await served(t, app)
      const agent = new http.Agent({ keepAlive: true, maxSockets: 3 })
      t.after(() => agent.destroy())
      const next = random(version.length * 7919)
      const ways = [...Object.values(encodings), { name: 'identity', encode: body => body }]
      const requests = []
      for (const way of ways) {
        for (const most of [0, 1, 500, MEMORY, MEMORY + 1, 150_000, 1_200_000]) {
          const body = content(next, most)
          const sent = way.encode(body)
          const pieces = split(
            sent,
            Array.from({ length: 8 }, () => 1 + Math.floor(next() * (1 + sent.length / 3)))
          )
          const headers = { 'content-encoding': way.name, 'content-type': 'application/x-own' }
          if (next() < 0.5) headers['content-length'] = sent.length
          requests.push({ what: `${way.name}, ${body.length} bytes`, body, headers, pieces })
        }
      }
      const all = requests.map(async ({ what, body, headers, pieces }) => {
        const { status, json } = await upload(port, '/', { agent, headers, pieces: haltingly(pieces, next) })
        assert.equal(status, 200, what)
        assert.deepEqual(json, { ...seal(body), size: body.length }, what)
      })
      await Promise.all(all)
      await settled()
      await until(() => descriptors(dir).length === 0, 'all files are closed')
    })

    test('an inflated body takes its room in the budget as it grows', async t => {
      const app = express()
      const errors = []
      app.use(plimsoll())
      app.use(plimsoll.limit({ limit: '10mb', budget: '1.5mb', inflate: { ratio: Number.POSITIVE_INFINITY } }))
      app.post('/', express.raw({ type: () => true, limit: '10mb' }), (req, res) =>
        res.json({ bytes: req.body.length })
      )
      app.use(errorPage(errors))
      const { port } = await served(t, app)
      const send = (size, declared) => {
        const sent = zlib.gzipSync(Buffer.alloc(size, 'a few words, again and again '))
        const headers = { 'content-encoding': 'gzip', ...(declared ? { 'content-length': sent.length } : {}) }
        return upload(port, '/', { headers, pieces: split(sent, [100, 200]) })
      }
      for (const declared of [false, true]) {
        assert.deepEqual((await send(1_000_000, declared)).json, { bytes: 1_000_000 })
        assert.equal((await send(1_500_000, declared)).status, 413, 'it is larger than all that it may hold')
        const other = await wire(port)
        other.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n', Buffer.alloc(499_999))
        await until(() => plimsoll.stats().requests.bodyHeldBytes === 500_000, 'another holds its part')
        assert.equal((await send(700_000, declared)).status, 200)
        assert.equal((await send(900_000, declared)).status, 503)
        assert.equal(errors.at(-1).type, 'budget.exceeded')
        other.write(Buffer.alloc(1))
        assert.deepEqual(JSON.parse((await other.responses(1))[0].body), { bytes: 500_000 })
        other.socket.destroy()
      }
      await settled()
    })

    test('a limit that waits for the first read bounds what is inflated then', async t => {
      const app = express()
      const outer = () => plimsoll.limit({ limit: 1000, defer: true, inflate: true })
      const inner = size => plimsoll.limit({ limit: size, inflate: true })
      const length = [
        express.raw({ type: () => true, limit: '10mb' }),
        (req, res) => res.json({ bytes: req.body.length })
      ]
      const late = async (_req, _res, next) => {
        for (let i = 0; i < 5; i++) await turn()
        next()
      }
      app.post('/outer', outer(), ...length)
      app.post('/inner', outer(), inner(5000), ...length)
      app.post('/late', outer(), late, inner(5000), ...length)
      app.post('/both', outer(), late, plimsoll.limit({ limit: 5000, defer: true, inflate: true }), late, ...length)
      app.use(errorPage([]))
      const { port } = await served(t, app)
      for (const [path, most] of [
        ['/outer', 1000],
        ['/inner', 5000],
        ['/late', 5000],
        ['/both', 5000]
      ]) {
        for (const size of [most, most + 1]) {
          const sent = zlib.gzipSync(Buffer.alloc(size, 'abc'))
          for (const headers of [{}, { 'content-length': sent.length }]) {
            const answer = await upload(port, path, {
              headers: { 'content-encoding': 'gzip', ...headers },
              pieces: [sent]
            })
            const wanted = size === most ? { bytes: size } : undefined
            assert.equal(answer.status, size === most ? 200 : 413, `${path} ${size}`)
            if (wanted) assert.deepEqual(answer.json, wanted)
            else assert.equal(answer.json.limit, most)
          }
        }
      }
    })

    test('a compressed body is as slow as it comes, not as it is read or inflated', async t => {
      const app = express()
      const held = []
      app.use(plimsoll.limit({ limit: '100mb', minRate: { bytes: '1mb', graceMs: 300 }, inflate: { ratio: 1e6 } }))
      app.post('/slow-reader', (req, res) => {
        let bytes = 0
        req.once('data', piece => {
          bytes += piece.length
          req.pause()
          held.push(() => {
            req.on('data', more => (bytes += more.length))
            req.on('end', () => res.json({ bytes }))
            req.resume()
          })
        })
      })
      app.post('/', (req, res) => req.resume().on('end', () => res.end('all')))
      const { port } = await served(t, app)
      const sent = zlib.gzipSync(Buffer.alloc(20_000_000))
      const reading = upload(port, '/slow-reader', { headers: { 'content-encoding': 'gzip' }, pieces: [sent] })
      await until(() => held.length === 1, 'the reader has stopped')
      // A client that sends nothing meanwhile is refused, so more than the grace period has passed.
      const trickle = upload(port, '/', { headers: { 'content-encoding': 'gzip' }, pieces: trickled(sent) })
      assert.equal((await trickle).status, 408)
      held[0]()
      assert.deepEqual((await reading).json, { bytes: 20_000_000 })
    })
  })
}

async function* haltingly(pieces, next) {
  for (const piece of pieces) {
    if (next() < 0.3) await turn()
    yield piece
  }
}

/** A byte from time to time, without end. */
async function* trickled(data) {
  for (const byte of data) {
    yield Buffer.of(byte)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
