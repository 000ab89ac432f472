'use strict'

// What plimsoll publishes on node:diagnostics_channel, and `limit({ report: true })`. `shed` and `near-limit` have
// files of their own.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { subscribe, unsubscribe } = require('node:diagnostics_channel')
const test = require('node:test')
const express = require('express')
const plimsoll = require('../..')
const { start } = require('../support/child.js')
const { serve, request, until } = require('../support/http.js')

function listening(t, name) {
  const heard = []
  const listener = message => heard.push(message)
  subscribe(name, listener)
  t.after(() => unsubscribe(name, listener))
  return heard
}

async function served(t, limit) {
  const app = express()
  app.use(plimsoll({ name: 'channels-test' }))
  app.use(plimsoll.limit(limit))
  app.post('/up/:id', express.raw({ type: () => true }), (req, res) => res.json(req.body.length))
  app.use((error, _req, res, _next) => res.status(error.status).end())
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

const BODIES = [
  ['declared', 'x'.repeat(2000)],
  ['counted', ['x'.repeat(700), 'x'.repeat(700), 'x'.repeat(600)]]
]

for (const [way, body] of BODIES) {
  test(`limit() publishes what it refuses (${way})`, async t => {
    const heard = listening(t, 'plimsoll:limit')
    const { port } = await served(t, '1kb')
    assert.equal((await request(port, '/up/1', { method: 'POST', body })).status, 413)
    assert.equal(heard.length, 1)
    const [{ req, route, limit, length, received, reported }] = heard
    assert.deepEqual([req.url, route, limit, reported], ['/up/1', '/up/:id', 1024, false])
    if (way === 'declared') assert.equal(length, 2000)
    else assert.ok(received > 1024)
  })

  test(`with report: true limit() counts and publishes what it would refuse, and refuses nothing (${way})`, async t => {
    const heard = listening(t, 'plimsoll:limit')
    const { port } = await served(t, { limit: '1kb', report: true })
    const before = plimsoll.stats().requests
    assert.deepEqual(
      await request(port, '/up/1', { method: 'POST', body }).then(({ status, body }) => [status, body]),
      [200, '2000']
    )
    assert.equal((await request(port, '/up/1', { method: 'POST', body: 'x'.repeat(1024) })).status, 200)
    assert.deepEqual(
      heard.map(({ route, limit, reported }) => [route, limit, reported]),
      [['/up/:id', 1024, true]]
    )
    const { limited, limitReported } = plimsoll.stats().requests
    assert.deepEqual([limited, limitReported], [before.limited, before.limitReported + 1])
    assert.match(await plimsoll.metrics.text(), /^plimsoll_http_requests_limit_reported_total [1-9]/m)
  })
}

test('report is true or false', () => {
  assert.throws(() => plimsoll.limit({ limit: '1kb', report: 'yes' }), {
    name: 'TypeError',
    message: /limit\(\)'s report takes true or false; got 'yes'/
  })
})

test('a reporting limit does not loosen one that refuses', async t => {
  const app = express()
  app.use(
    plimsoll.limit({ limit: 100, report: true }),
    plimsoll.limit(500),
    plimsoll.limit({ limit: 50, report: true })
  )
  app.post('/', express.raw({ type: () => true }), (_req, res) => res.end())
  app.use((error, _req, res, _next) => res.status(error.status).end())
  const { port, close } = await serve(app)
  t.after(close)
  const heard = listening(t, 'plimsoll:limit')
  const body = ['x'.repeat(60), 'x'.repeat(60), 'x'.repeat(600)]
  assert.equal((await request(port, '/', { method: 'POST', body })).status, 413)
  assert.deepEqual(
    heard.map(({ limit, reported }) => [limit, reported]).sort((a, b) => a[0] - b[0]),
    [
      [50, true],
      [100, true],
      [500, false]
    ]
  )
})

test('a blocked event loop is published once it ticks again, with the request that blocked it', async t => {
  const server = await start('burst', { args: ['plimsoll'] })
  t.after(() => server.stop())
  assert.equal((await request(server.port, '/block/2500')).status, 200)
  const message = await until(
    async () => (await server.ask('announced')).find(each => each.channel === 'blocked'),
    'the message'
  )
  assert.deepEqual([message.method, message.path, message.route], ['GET', '/block/*', '/block/:ms'])
  assert.ok(message.blockedMs >= 1000 && message.blockedMs < 60_000, `${message.blockedMs}`)
})
