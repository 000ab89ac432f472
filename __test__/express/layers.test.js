'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const plimsoll = require('../..')
const { start } = require('../support/child.js')
const { request, serve, until } = require('../support/http.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }
const TRACK = { layers: true, async: true }
const OBJECT_BYTES = 6 * 8 // map, properties, elements, and three fields

// Prevents that the allocations are optimised away.
let held

function allocate(count) {
  let chain = null
  for (let i = 0; i < count; i++) chain = { a: i, b: i, before: chain }
  held = chain
}

async function settled() {
  return until(() => {
    const stats = plimsoll.stats()
    return stats.requests.inFlight === 0 && stats
  }, 'no request in flight')
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    test('each function gets its own bytes and time, under its name and place', async t => {
      const known = {}
      const uses = (name, objects, layer) => {
        known[name] = objects * OBJECT_BYTES
        return layer
      }
      const prefix = `/${version.replace(' ', '')}`
      const app = express()
      app.use(plimsoll(TRACK), plimsoll.limit('1mb'), plimsoll.scope())
      app.use(
        uses('session', 10_000, function session(_req, _res, next) {
          allocate(5000)
          setTimeout(() => {
            allocate(5000)
            next()
          }, 1)
        })
      )
      app.use(express.json())
      const router = express.Router()
      router.use(
        uses('checks', 8000, async function checks(_req, _res, next) {
          await null
          allocate(4000)
          next()
          // After `next()` it is the function's own again.
          allocate(4000)
        })
      )
      router.post(
        '/users/:id',
        uses('validate', 3000, function validate(_req, _res, next) {
          allocate(3000)
          next()
        }),
        uses('getUsers', 20_000, async function getUsers(req, res) {
          await null
          allocate(10_000)
          await null
          allocate(10_000)
          if (req.params.id === '0') return Promise.reject(new Error('no such user')).catch(error => req.next(error))
          res.json({ ok: 1 })
        })
      )
      app.use(prefix, router)
      app.use(
        uses('onError', 6000, function onError(error, _req, res, _next) {
          allocate(6000)
          res.status(404).json({ error: error.message })
        })
      )
      const server = await serve(app)
      t.after(() => server.close())
      const agent = new http.Agent({ keepAlive: true })
      t.after(() => agent.destroy())
      const ask = id =>
        request(server.port, `${prefix}/users/${id}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: '{"a":1}',
          agent
        })
      for (let i = 1; i <= 200; i++) assert.equal((await ask(i)).status, 200)
      for (let i = 0; i < 200; i++) assert.equal((await ask(0)).status, 404)

      const { routes } = await settled()
      const found = routes.find(row => row.route === `${prefix}/users/:id` && row.status === '2xx')
      const lost = routes.find(row => row.route === `${prefix}/users/:id` && row.status === '4xx')
      assert.equal(found.layers[0].name, 'getUsers', 'the heaviest comes first')
      for (const [row, absent] of [
        [found, 'onError'],
        [lost, 'none']
      ]) {
        const layers = Object.fromEntries(row.layers.map(layer => [layer.name, layer]))
        assert.equal(layers[absent], undefined)
        for (const [name, bytes] of Object.entries(known)) {
          if (name === absent) continue
          const layer = layers[name]
          assert.ok(layer, `${name} is missing in ${Object.keys(layers)}`)
          assert.equal(layer.count, 200)
          assert.match(layer.origin, /^__test__[/\\]express[/\\]layers\.test\.js:\d+$/)
          // In addition to its own allocations: promises, timers, the response, and a reading or two taken while V8
          // swept.
          const off = layer.heapMeanBytes - bytes
          assert.ok(off > -0.05 * bytes && off < 0.05 * bytes + 16_384, `${name}: ${layer.heapMeanBytes} for ${bytes}`)
          assert.ok(layer.timeMs > 0, `${name}: ${layer.timeMs} ms`)
        }
        for (const name of Object.keys(layers))
          assert.ok(name in known || name === 'jsonParser', `${name} is no function of the app`)
        assert.ok(layers.jsonParser.heapMeanBytes < 40_000, `${layers.jsonParser.heapMeanBytes}`)
        assert.match(layers.jsonParser.origin, /^node_modules.*:\d+$/)
        const sum = row.layers.reduce((sum, layer) => sum + layer.heapMeanBytes, 0)
        assert.ok(sum <= row.heapBytes.mean && sum >= 0.97 * row.heapBytes.mean, `${sum} of ${row.heapBytes.mean}`)
      }
    })

    test('nothing that a handler can observe changes', async t => {
      const results = []
      for (const tracked of [false, true]) {
        const { app, seen } = observing(express, tracked)
        const server = await serve(app)
        t.after(() => server.close())
        const answers = []
        for (const path of PATHS) {
          const { status, body } = await request(server.port, path)
          answers.push(`${path}: ${status} ${body}`)
        }
        results.push({ answers, seen })
      }
      const [bare, layered] = results
      assert.deepEqual(layered.answers, bare.answers)
      assert.deepEqual(layered.seen, bare.seen)
      assert.ok(bare.seen.length > PATHS.length)
    })

    test('the stack stays as it was', () => {
      const app = express()
      app.use(plimsoll(TRACK))
      const handler = (_req, res) => res.end()
      const onError = (_error, _req, _res, next) => next()
      app.get('/stack', handler)
      app.use(onError)
      const stack = (typeof app.lazyrouter === 'function' ? app._router : app.router).stack
      assert.equal(stack.at(-1).handle, onError)
      assert.equal(stack.at(-2).route.stack[0].handle, handler)
    })
  })
}

const PATHS = [
  '/plain',
  '/sync-throw',
  '/async-throw',
  '/next-error',
  '/next-route',
  '/router/passes',
  '/router/stays',
  '/param/42',
  '/param/wrong',
  '/arity/four',
  '/arity/two',
  '/array',
  '/late',
  '/twice',
  '/recovers',
  '/options/all',
  '/nowhere'
]

/** An app that records what its handlers receive: arguments, `this`, `next`, return values, errors. */
function observing(express, tracked) {
  const seen = []
  const app = express()
  if (tracked) app.use(plimsoll(TRACK))
  const note = (what, next) => seen.push(`${what}: next is ${typeof next} ${next.length}`)
  const later = work => setImmediate(work)

  app.use((req, _res, next) => {
    note(req.url, next)
    seen.push(`next() returns ${next()}`)
  })
  app.get('/plain', function plain(...args) {
    seen.push(`${args.length} arguments, this is ${this === undefined ? 'undefined' : typeof this}`)
    args[1].send('plain')
  })
  app.get('/sync-throw', () => {
    throw new Error('sync')
  })
  app.get('/async-throw', (_req, _res, next) => Promise.reject(new Error('async')).catch(next))
  app.get('/next-error', (_req, _res, next) => next(Object.assign(new Error('teapot'), { status: 418 })))
  app.get(
    '/next-route',
    (_req, _res, next) => next('route'),
    () => seen.push('never')
  )
  app.get('/next-route', (_req, res) => res.send('the next route'))
  const router = express.Router()
  router.use((req, _res, next) => next(req.url === '/passes' ? 'router' : undefined))
  router.use((_req, res) => res.send('stayed'))
  app.use('/router', router)
  app.get('/router/passes', (_req, res) => res.send('passed'))
  app.param('id', (req, _res, next, id) => {
    note(`param ${id}`, next)
    req.found = id
    next(id === 'wrong' ? new Error('wrong id') : undefined)
  })
  app.get('/param/:id', (req, res) => res.send(req.found))
  // Express takes it for an error handler and skips it.
  app.get('/arity/four', (_a, _b, _c, _d) => seen.push('never'))
  app.get('/arity/two', (_req, res) => res.send('two'))
  app.get('/array', [(_req, _res, next) => next(), [(_req, res) => res.send('array')]])
  app.get('/late', (_req, _res, next) => later(() => next()))
  app.get('/late', (_req, _res, next) => process.nextTick(next))
  app.get('/late', async (_req, res) => {
    await null
    res.send('late')
  })
  app.get('/twice', (_req, _res, next) => {
    next()
    next()
  })
  app.get('/twice', (_req, res) => {
    if (!res.headersSent) res.send('once')
    else seen.push('a second time')
  })
  app.get('/recovers', (_req, _res, next) => next(new Error('recoverable')))
  app.use((error, _req, _res, next) => {
    note(`error ${error.message}`, next)
    next(error.message === 'recoverable' ? undefined : error)
  })
  app.get('/recovers', (_req, res) => res.send('recovered'))
  app.all('/options/all', (req, res) => res.send(req.method))
  app.use((error, _req, res, next) => {
    seen.push(`last: ${error.message} ${error.status}`)
    if (res.headersSent) return next(error)
    res.status(error.status ?? 500).send(error.message)
  })
  return { app, seen }
}

for (const tracer of ['opentelemetry', 'dd-trace']) {
  test(`works together with ${tracer}, which wraps the same functions`, async t => {
    const server = await start('traced', { env: { TRACER: tracer } })
    t.after(() => server.stop())
    const round = async () => {
      for (let i = 0; i < 200; i++) {
        assert.deepEqual(JSON.parse((await request(server.port, `/users/${i}`)).body), { id: String(i) })
        assert.equal((await request(server.port, '/fails')).status, 418)
      }
      const stats = await until(async () => {
        const stats = await server.ask('stats')
        return stats.requests.inFlight === 0 && stats
      }, 'no request in flight')
      assert.equal(stats.faults, 0)
      return stats.routes.find(row => row.route === '/users/:id')
    }
    // The first round includes what the tracer loads and compiles, and concurrent sweeping.
    const first = await round()
    const row = await round()
    assert.equal(row.count, 400)
    const layer = (name, of = row) => of.layers.find(layer => layer.name === name)
    const heapMean = name => 2 * layer(name).heapMeanBytes - layer(name, first).heapMeanBytes
    for (const [name, bytes] of [
      ['session', 2000 * OBJECT_BYTES],
      ['getUser', 5000 * OBJECT_BYTES]
    ]) {
      assert.ok(layer(name), `${name} is missing in ${row.layers.map(({ name }) => name)}`)
      // What a tracer allocates in the handler is charged to the handler.
      assert.ok(heapMean(name) > 0.95 * bytes, `${name}: ${heapMean(name)}`)
      assert.ok(heapMean(name) < bytes + 150_000, `${name}: ${heapMean(name)}`)
    }
    const spans = await server.ask('spans')
    assert.ok(tracer !== 'opentelemetry' || spans.includes('middleware - session'), `${spans.slice(0, 20)}`)
    assert.ok(
      spans.some(name => /users\/:id/.test(name)),
      `${spans.slice(0, 20)}`
    )
  })
}

test('holds', () => assert.notEqual(held, undefined))
