'use strict'

// What `shed()` refuses, when, and how its clients are informed.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { subscribe, unsubscribe } = require('node:diagnostics_channel')
const http = require('node:http')
const { join } = require('node:path')
const test = require('node:test')
const connect = require('connect')
const plimsoll = require('../..')
const { chance } = require('../../lib/overload/shed.js')
const { start } = require('../support/child.js')
const { serve, request, until } = require('../support/http.js')
const { upload } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }

plimsoll({ name: 'shed-test', log: { info() {}, warn() {}, error: message => said.push(message) } })
const said = []

let marks = 0
/**
 * The addon always holds more than some bytes, so the level is full from the first sample on. Each has marks of its
 * own, because a guard that has been full for ten seconds admits some requests.
 */
function full() {
  marks += 1
  return { heap: false, rss: false, delayMs: false, native: [0, marks] }
}

const CALM = { heap: false, rss: false, delayMs: false, native: ['1tb', '2tb'] }

test.before(async () => {
  const { native } = require('../../lib/core/addon.js')
  const guard = native.guard({ nativeBytes: { lower: 0, upper: 1 } })
  await until(() => native.level(guard) > 0.9, 'the first sample')
})

async function served(t, app) {
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

/** An app that sheds, with what reached its handler and its error handler. */
function app(express, options) {
  const seen = { errors: [], handled: [] }
  const app = express()
  app.use(plimsoll.shed({ ...full(), ...options }))
  app.use((req, res, next) => {
    seen.handled.push(req.url)
    if (res.end) res.end('handled')
    else next()
  })
  app.use((error, _req, _res, next) => {
    seen.errors.push(error)
    next(error)
  })
  return { app, seen }
}

for (const [version, express] of Object.entries({ ...versions, connect })) {
  test(`${version}: refuses with a 503, a Retry-After and an error in http-errors' shape`, async t => {
    const { app: shedding, seen } = app(express)
    const { port } = await served(t, shedding)
    const { status, headers } = await request(port, '/orders')
    assert.equal(status, 503)
    assert.match(headers['retry-after'], /^[1-5]$/)
    assert.deepEqual(seen.handled, [])
    const [error] = seen.errors
    assert.ok(error instanceof Error)
    assert.deepEqual(
      [error.status, error.statusCode, error.type, error.expose, error.priority],
      [503, 503, 'server.overloaded', false, 'normal']
    )
    assert.ok(!error.stack.includes('\n'), 'one line in a log, not a stack that says nothing')
    assert.ok(new Error('of another').stack.includes('\n'))
    assert.deepEqual(error.headers, { 'Retry-After': headers['retry-after'] })
  })

  test(`${version}: admits all while nothing presses`, async t => {
    const { app: calm, seen } = app(express, CALM)
    const { port } = await served(t, calm)
    for (let i = 0; i < 20; i++) assert.equal((await request(port, `/${i}`)).status, 200)
    assert.equal(seen.handled.length, 20)
  })

  test(`${version}: a client that is still sending its body hears the refusal`, async t => {
    const { app: shedding } = app(express)
    const { port } = await served(t, shedding)
    const pieces = Array.from({ length: 64 }, () => Buffer.alloc(65_536))
    for (const headers of [{}, { 'content-length': 64 * 65_536 }]) {
      const { status } = await upload(port, '/', { headers, pieces })
      assert.equal(status, 503)
    }
  })
}

test('works in plain http', async t => {
  const shed = plimsoll.shed(full())
  const { port } = await served(
    t,
    http.createServer((req, res) =>
      shed(req, res, error => {
        if (error) for (const [name, value] of Object.entries(error.headers)) res.setHeader(name, value)
        res.statusCode = error ? error.status : 200
        res.end()
      })
    )
  )
  const { status, headers } = await request(port, '/')
  assert.equal(status, 503)
  assert.match(headers['retry-after'], /^[1-5]$/)
})

test('health checks and metrics come through, and what the options exempt', async t => {
  const express = versions['express 5']
  const { port } = await served(t, app(express).app)
  for (const path of ['/healthz', '/livez?x=1', '/readyz', '/health', '/metrics']) {
    assert.equal((await request(port, path)).status, 200, path)
  }
  assert.equal((await request(port, '/healthz/deep')).status, 503)
  for (const exempt of ['/ping', ['/ping'], req => req.url === '/ping']) {
    const { port } = await served(t, app(express, { exempt }).app)
    assert.equal((await request(port, '/ping')).status, 200)
    assert.equal((await request(port, '/healthz')).status, 503, 'told otherwise')
  }
})

test('an exempt path is matched against the whole URL, wherever shed() is mounted', async t => {
  const express = versions['express 5']
  const outer = express()
  outer.use('/api', plimsoll.shed({ ...full(), exempt: '/api/health' }))
  outer.use((_req, res) => res.end())
  const { port } = await served(t, outer)
  assert.equal((await request(port, '/api/health')).status, 200)
  assert.equal((await request(port, '/api/orders')).status, 503)
  assert.equal((await request(port, '/orders')).status, 200)
})

test('low priority is refused first, high priority last', () => {
  assert.deepEqual(
    [0.25, 0.5, 0.75, 1].map(level => ['low', 'normal', 'high'].map(priority => chance(level, priority))),
    [
      [0.5, 0.25, 0],
      [1, 0.5, 0],
      [1, 0.75, 0],
      [1, 1, 1]
    ]
  )
})

test('priority() decides the priority of a request', async t => {
  const { app: shedding, seen } = app(versions['express 5'], { priority: req => req.headers['x-priority'] })
  const { port } = await served(t, shedding)
  for (const priority of ['low', 'normal', 'high']) {
    await request(port, '/', { headers: { 'x-priority': priority } })
  }
  assert.deepEqual(
    seen.errors.map(error => error.priority),
    ['low', 'normal', 'high']
  )
})

for (const [what, priority, message] of [
  ['that throws', () => Object.nothing.at, /function of shed\(\)'s priority.*TypeError/s],
  ['that returns what there is not', () => 'urgent', /'low' or 'normal' or 'high'; got 'urgent'/]
]) {
  test(`a priority function ${what} is counted, reported once, and its requests are normal`, async t => {
    const { app: shedding, seen } = app(versions['express 5'], { priority })
    const { port } = await served(t, shedding)
    const before = plimsoll.stats().faults
    const reported = said.length
    for (let i = 0; i < 3; i++) assert.equal((await request(port, '/')).status, 503)
    assert.deepEqual(
      seen.errors.map(error => error.priority),
      ['normal', 'normal', 'normal']
    )
    assert.equal(plimsoll.stats().faults, before + 3)
    // One place is reported once, for any errors.
    assert.ok(said.length <= reported + 1)
    assert.match(
      said.join('\n'),
      message === undefined ? /./ : reported === 0 ? message : /function of shed\(\)'s priority/
    )
  })
}

test('an exempt function that throws exempts nothing', async t => {
  const exempt = () => {
    throw new Error('on purpose')
  }
  const { port } = await served(t, app(versions['express 5'], { exempt }).app)
  assert.equal((await request(port, '/healthz')).status, 503)
})

test('with report: true it counts and publishes, and refuses nothing', async t => {
  const heard = []
  const listener = message => heard.push(message)
  subscribe('plimsoll:shed', listener)
  t.after(() => unsubscribe('plimsoll:shed', listener))
  const { app: reporting, seen } = app(versions['express 5'], { report: true })
  const { port } = await served(t, reporting)
  const before = plimsoll.stats().requests
  for (let i = 0; i < 3; i++) assert.equal((await request(port, '/orders')).status, 200)
  const { shed, shedReported } = plimsoll.stats().requests
  assert.deepEqual([shed, shedReported], [before.shed, before.shedReported + 3])
  assert.equal(seen.handled.length, 3)
  assert.deepEqual(
    heard.map(({ req, priority, level, reported }) => [req.url, priority, level, reported]),
    Array(3).fill(['/orders', 'normal', 1, true])
  )
})

test('refusals are counted, published and recorded, and booked under the route that they were meant for', async t => {
  const heard = []
  const listener = message => heard.push(message)
  subscribe('plimsoll:shed', listener)
  t.after(() => unsubscribe('plimsoll:shed', listener))
  const shedding = versions['express 5']()
  shedding.use(plimsoll())
  shedding.use(plimsoll.shed({ ...full(), retryAfterS: [7, 7] }))
  shedding.get('/metrics', plimsoll.metrics())
  shedding.get('/orders/:id', (_req, res) => res.end())
  const { port } = await served(t, shedding)
  const before = plimsoll.stats().requests.shed
  for (let i = 0; i < 5; i++) assert.equal((await request(port, `/orders/${i}`)).headers['retry-after'], '7')
  assert.equal(plimsoll.stats().requests.shed, before + 5)
  const [{ route, priority, level, retryAfterS, reported }] = heard
  assert.deepEqual(
    { route, priority, level, retryAfterS, reported },
    { route: '/orders/:id', priority: 'normal', level: 1, retryAfterS: 7, reported: false }
  )
  const row = await until(
    () => plimsoll.stats().routes.find(each => each.route === '/orders/:id' && each.status === '5xx'),
    'the row'
  )
  assert.ok(row.count > 0)
  assert.equal(plimsoll.stats().pressure.level, 1)
  const { body } = await request(port, '/metrics')
  assert.match(body, /^plimsoll_shed_ratio 1(\.0)?$/m)
  assert.match(body, /^plimsoll_http_requests_shed_total [1-9]/m)
})

test('ready() answers 503 while a shed() refuses, 200 else', async t => {
  const app = versions['express 5']()
  app.get('/readyz', plimsoll.ready())
  const { port } = await served(t, app)
  const { status, body } = await request(port, '/readyz')
  assert.deepEqual([status, body], [503, 'shedding\n'])
  assert.equal((await request(port, '/readyz', { method: 'HEAD' })).body, '')
})

test('every wrong option is a TypeError that says what it takes', () => {
  const wrong = [
    [{ heap: [0.9, 0.8] }, /shed\(\)'s heap takes false, or two marks \[lower, upper\] with lower below upper/],
    [{ heap: [0.9, 0.9] }, /heap takes/],
    [{ heap: 0.9 }, /heap takes.*got 0\.9/],
    [{ heap: true }, /heap takes/],
    [{ heap: [0.8] }, /heap takes/],
    [{ heap: ['80%', '90%'] }, /heap takes/],
    [{ heap: [-0.1, 0.9] }, /heap takes/],
    [{ rss: [0.8, Number.NaN] }, /rss takes/],
    [{ delayMs: [1000, 250] }, /delayMs takes.*milliseconds/],
    [{ native: ['512mb', '256mb'] }, /native takes.*sizes/],
    [{ native: ['1m', '2m'] }, /native mark takes/],
    [{ exempt: 'healthz' }, /exempt takes a path like '\/healthz', an array of these, or a function/],
    [{ exempt: ['/ok', 1] }, /exempt takes/],
    [{ exempt: true }, /exempt takes/],
    [{ exempt: /health/ }, /exempt takes/],
    [{ priority: 'urgent' }, /priority takes 'low' or 'normal' or 'high'; got 'urgent'/],
    [{ priority: 1 }, /priority takes/],
    [{ retryAfterS: 5 }, /retryAfterS takes two whole numbers of seconds/],
    [{ retryAfterS: [5, 1] }, /retryAfterS takes/],
    [{ report: 'yes' }, /report takes true or false/],
    [{ heapMarks: [0.8, 0.9] }, /has no option 'heapMarks'/],
    [0.9, /shed\(\) takes an object/]
  ]
  for (const [given, message] of wrong) assert.throws(() => plimsoll.shed(given), { name: 'TypeError', message })
  assert.throws(() => plimsoll.ready({ path: '/readyz' }), { name: 'TypeError', message: /no option 'path'/ })
  for (const given of [undefined, {}, { heap: false, rss: false, delayMs: false }, { priority: 'low', exempt: [] }]) {
    assert.equal(plimsoll.shed(given).name, 'plimsollShed')
  }
})

test('without a binary it passes all through, and is ready', () => {
  const program = `
    const plimsoll = require(${JSON.stringify(join(__dirname, '..', '..'))})
    let passed = 0
    plimsoll.shed({ native: [0, 1] })({ url: '/' }, {}, () => passed++)
    const res = { setHeader() {}, end(body) { console.log(passed, res.statusCode, body.trim()) } }
    plimsoll.ready()({ method: 'GET' }, res)`
  const env = { ...process.env, NODE_TEST_CONTEXT: '', PLIMSOLL: 'off' }
  assert.equal(execFileSync(process.execPath, ['-e', program], { env, encoding: 'utf8' }), '1 200 ready\n')
})

// 200 requests that retain 2.4 MB each, with a heap limit of 200 MB.
const LOAD = 200
const execArgv = ['--max-old-space-size=200']

/**
 * Sends one request that is held. Resolves when there is a response or the connection is cut: `{ status, whole }`.
 * `whole` resolves at its end.
 */
function hold(port, agent) {
  return new Promise(resolve => {
    const req = http.get({ port, path: '/hold', agent }, res => {
      const whole = new Promise(done => {
        let body = ''
        res.on('data', text => {
          body += text
        })
        res.on('end', () => done(body))
        res.on('error', () => done(null))
      })
      resolve({ status: res.statusCode, whole })
    })
    req.on('error', () => resolve({ status: 0, whole: Promise.resolve(null) }))
  })
}

async function load(t, port) {
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const answers = []
  await Promise.all(
    Array.from({ length: LOAD }, async (_, client) => {
      await new Promise(resolve => setTimeout(resolve, client * 5))
      for (let attempt = 0; attempt < 3; attempt++) {
        const answer = await hold(port, agent)
        answers.push(answer)
        if (answer.status !== 503) return
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    })
  )
  return answers
}

test('a load that would take twice the heap kills a bare server', async t => {
  const server = await start('burst', { execArgv, args: ['bare'] })
  t.after(() => server.stop())
  load(t, server.port).catch(() => {})
  const { signal } = await server.exited
  assert.equal(signal, 'SIGABRT')
  assert.match(server.output(), /heap out of memory|heap limit/)
})

for (const [what, args, probe] of [
  ['stays up', ['plimsoll+shed', '{"shed":{"delayMs":false}}'], ''],
  ['stays up without the exact probe', ['plimsoll+shed', '{"shed":{"delayMs":false}}'], 'off'],
  [
    'stays up without V8 to ask near its limit',
    ['plimsoll+shed', '{"shed":{"delayMs":false},"plimsoll":{"nearLimit":false}}'],
    ''
  ]
]) {
  test(`under that load a shedding one ${what}, serves whom it admits, and soon admits all again`, async t => {
    const server = await start('burst', { execArgv, args, env: { PLIMSOLL_PROBE: probe } })
    t.after(() => server.stop())
    const answers = await load(t, server.port)
    const admitted = answers.filter(answer => answer.status === 200)
    const refused = answers.filter(answer => answer.status === 503)
    assert.equal(admitted.length + refused.length, answers.length, 'nobody is left without an answer')
    assert.ok(admitted.length >= 20 && refused.length >= 20, `${admitted.length} admitted, ${refused.length} refused`)
    assert.equal((await request(server.port, '/readyz')).status, 503)
    assert.equal(await server.ask('release'), admitted.length)
    for (const { whole } of admitted) assert.equal(await whole, '20000')
    let streak = 0
    await until(
      async () => {
        const { status } = await request(server.port, '/small')
        streak = status === 200 ? streak + 1 : 0
        return streak === 20
      },
      'it admits all again',
      5000
    )
    await until(async () => (await request(server.port, '/readyz')).status === 200, 'it is ready')
    t.diagnostic(
      `${admitted.length} admitted, ${refused.length} refused, ${JSON.stringify((await server.ask('stats')).nearLimit)}`
    )
  })
}

test('garbage is no pressure', async t => {
  const server = await start('burst', { execArgv, args: ['plimsoll+shed', '{"shed":{"delayMs":false}}'] })
  t.after(() => server.stop())
  // Five times the size of the heap.
  for (let i = 0; i < 400; i++) assert.equal((await request(server.port, '/garbage')).status, 200, `request ${i}`)
  const { requests, nearLimit, gc } = await server.ask('stats')
  assert.deepEqual([requests.shed, nearLimit.grants], [0, 0])
  assert.ok(gc.scavenge.count + gc['mark-sweep-compact'].count > 5)
})
