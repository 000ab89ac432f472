'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')
const { start } = require('../support/child.js')
const { pipelined } = require('../support/http.js')

const WARM_UP = 10_000
const REQUESTS = process.env.PLIMSOLL_SLOW ? 200_000 : 60_000
/** Bare runs differ by 365 KiB from each other. One number retained for each request would be 480 KB or more. */
const NOISE = 400 << 10

test('keeps nothing per request on the JS heap, and no more with all watchers on', async t => {
  const growth = {}
  for (const kind of ['bare', 'plimsoll', 'watched']) {
    const server = await start('growth', { args: [kind], execArgv: ['--expose-gc'] })
    t.after(() => server.stop())
    await pipelined(server.port, '/users/1', WARM_UP)
    const before = (await server.ask('gc')).heapUsed
    await pipelined(server.port, '/users/1', REQUESTS)
    growth[kind] = (await server.ask('gc')).heapUsed - before
    if (kind === 'watched') assert.deepEqual((await server.ask('stats')).findings, [])
  }
  t.diagnostic(`over ${REQUESTS} requests: ${JSON.stringify(growth)} bytes`)
  for (const kind of ['plimsoll', 'watched'])
    assert.ok(growth[kind] - Math.max(0, growth.bare) < NOISE, JSON.stringify(growth))
})
