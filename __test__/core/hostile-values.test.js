'use strict'

// Whatever an app throws or returns neither ends its process nor opens a guard.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const http = require('node:http')
const { join } = require('node:path')
const test = require('node:test')
const { promisify } = require('node:util')
const plimsoll = require('../..')
const internalErrors = require('../../lib/core/internal-errors.js')
const hook = require('../../lib/core/hook.js')
const { request, serve } = require('../support/http.js')
const { hostile } = require('../support/hostile.js')
const express = require('express')

const ROOT = JSON.stringify(join(__dirname, '..', '..'))
const SUPPORT = JSON.stringify(join(__dirname, '..', 'support', 'hostile.js'))

async function run(code) {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', code])
  return { stdout, stderr }
}

for (const how of ['exception', 'rejection']) {
  test(`an app that handles its uncaught ${how}s survives each of them`, async () => {
    const { stdout } = await run(`
      const plimsoll = require(${ROOT})
      const { hostile } = require(${SUPPORT})
      let handled = 0
      process.on('uncaughtException', () => handled++)
      plimsoll({ recorder: false })
      const values = hostile.map(([, make]) => make)
      function next() {
        const make = values.pop()
        if (make === undefined) return setImmediate(() => console.log(JSON.stringify([handled, plimsoll.stats().faults])))
        setImmediate(next)
        if (${how === 'exception'}) throw make()
        Promise.reject(make())
      }
      setImmediate(next)`)
    assert.deepEqual(JSON.parse(stdout), [hostile.length, 0])
  })
}

/** Each hook of a guard: how it is given, and the response to a request if its fallback applies. */
const hooks = {
  "limit()'s function": [call => plimsoll.limit(call), 413],
  "limit()'s routes": [call => plimsoll.limit({ limit: '1mb', routes: { 'POST /': call } }), 413],
  "spool()'s type": [call => plimsoll.spool({ type: call, limit: '1b' }), 413],
  "shed()'s exempt": [call => plimsoll.shed({ exempt: call, native: [0, 1], heap: false, delayMs: false }), 503],
  "shed()'s priority": [call => plimsoll.shed({ priority: call, native: [0, 1], heap: false, delayMs: false }), 503]
}

/** `app` served by Express 5, or by plain http with a `next` that responds with an error's status. */
const servers = {
  express(middleware) {
    const app = express().set('env', 'test')
    app.use(plimsoll({ recorder: false }), middleware, (_req, res) => void res.end('passed'))
    return app
  },
  http(middleware) {
    return http.createServer((req, res) =>
      middleware(req, res, error => {
        res.statusCode = error?.status ?? 200
        res.end(error === undefined ? 'passed' : 'refused')
      })
    )
  }
}

for (const [name, [make, status]] of Object.entries(hooks)) {
  for (const [kind, app] of Object.entries(servers)) {
    test(`${name} that throws anything is replaced by its fallback (${kind})`, async t => {
      for (const [what, value] of hostile) {
        const served = await serve(
          app(
            make(() => {
              throw value()
            })
          )
        )
        t.after(() => served.close())
        const before = internalErrors.seen.count
        const answer = await request(served.port, '/', { method: 'POST', body: 'a body' })
        assert.equal(answer.status, status, what)
        assert.ok(internalErrors.seen.count > before, what)
      }
    })
  }

  test(`${name} that is an async function is refused when it is given`, () => {
    const takes = 'takes a function that returns its result synchronously, not a promise; got [AsyncFunction'
    assert.throws(
      () => make(async () => true),
      error => error instanceof TypeError && error.message.includes(takes)
    )
  })

  test(`${name} that returns a promise is replaced by its fallback, and a rejection is handled`, async t => {
    for (const promise of [() => Promise.resolve(false), () => Promise.reject(new Error('on purpose'))]) {
      const served = await serve(servers.express(make(promise)))
      t.after(() => served.close())
      const answer = await request(served.port, '/', { method: 'POST', body: 'a body' })
      assert.equal(answer.status, status)
    }
  })
}

test('a disposer may throw anything', async t => {
  const app = express().set('env', 'test')
  app.use(plimsoll({ recorder: false }), plimsoll.scope())
  app.get('/', (req, res) => {
    for (const [, value] of hostile) {
      req.scope.defer(() => {
        throw value()
      })
      req.scope.defer(() => Promise.reject(value()))
    }
    res.end('disposed')
  })
  const served = await serve(app)
  t.after(() => served.close())
  const before = internalErrors.seen.count
  for (let i = 0; i < 2; i++) assert.equal((await request(served.port, '/')).body, 'disposed')
  assert.equal(internalErrors.seen.count, before)
})

test('a logger may throw anything', async () => {
  const { stdout } = await run(`
    const plimsoll = require(${ROOT})
    const { hostile } = require(${SUPPORT})
    let at = 0
    const fail = () => { throw hostile[at++ % hostile.length][1]() }
    const log = { info: fail, warn: fail, error: fail }
    plimsoll({ recorder: false, log })
    for (let i = 0; i < hostile.length; i++) plimsoll({ recorder: false, log, name: 'n' + i })
    setImmediate(() => console.log(at, plimsoll.stats().faults))`)
  assert.equal(stdout.trim(), `${hostile.length} 0`)
})

test('options that lie on Object.prototype are not read', async () => {
  const { stdout } = await run(`
    const plimsoll = require(${ROOT})
    const http = require('node:http')
    Object.assign(Object.prototype, { limit: '1gb', report: true, defer: true, routes: { '/': 'x' }, minRate: 'x', budget: 'x', fallback: 'x',
      exempt: () => true, priority: 'x', name: '', leaks: 'x', watch: 'x', largeResponses: 'x', stats: 'x', recorder: 'x', only: 'x', scope: 'x', openmetrics: 'x',
      memory: 'x', dir: 5, type: 'x', default: '1gb', heap: 'x', native: 'x', ratio: 'x', reserve: 'x', waitMs: 'x', graceMs: 'x', bytes: 'x', over: 'x',
      grace: 'x', timeMs: 'x', retained: 'x', largeProperties: 'x', trend: 'x', sites: 'x', snapshots: 'x' })
    plimsoll({}), plimsoll({ largeResponses: true, watch: { timers: true }, leaks: {}, nearLimit: {} }), plimsoll.shed({}), plimsoll.spool({}), plimsoll.scope({}), plimsoll.ready({})
    plimsoll.metrics({})
    const limit = plimsoll.limit({ limit: { 'text/plain': 1, default: 2 }, inflate: true, minRate: { bytes: 1 }, linger: {} })
    const one = plimsoll.limit({ limit: 1 })
    for (const each of [limit, one]) {
      let got
      const req = Object.assign(new http.IncomingMessage(new (require('node:net').Socket)()), { method: 'POST', url: '/', headers: { 'content-length': '3' } })
      each(req, new http.ServerResponse(req), error => { got = error })
      console.log(got.status)
    }
    process.exit()`)
  assert.equal(stdout, '413\n413\n')
})

test('a hook that works costs nothing but its call', () => {
  const limitOf = hook('it', req => req.size, Number, 0)
  assert.equal(limitOf({ size: '5' }), 5)
})
