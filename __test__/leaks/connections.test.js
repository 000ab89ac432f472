'use strict'

// What grows with WebSocket connections instead of requests is found, and reported as such.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const test = require('node:test')
const WebSocket = require('ws')
const { start } = require('../support/child.js')
const { until } = require('../support/http.js')
const { heapLeak } = require('../support/leaks.js')

const BURST = 40

async function connect(port) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`)
  await once(socket, 'open')
  socket.terminate()
  await once(socket, 'close')
}

/** Bursts of connections with a collection after each, until `done(stats)`, or for `most` of them. */
async function drive(server, most, done) {
  for (let round = 0; round < most; round++) {
    const before = (await server.ask('stats')).trend.heap
    await Promise.all(Array.from({ length: BURST }, () => connect(server.port)))
    await server.ask('gc')
    const stats = await until(async () => {
      const stats = await server.ask('stats')
      return (round < 10 || stats.trend.heap?.to !== before?.to) && stats
    }, 'a look at the last collection')
    if (done(stats)) return stats
  }
  return server.ask('stats')
}

for (const twin of ['leaks', 'healthy']) {
  test(`a listener for each WebSocket connection: ${twin}`, async t => {
    const server = await start('sockets', { args: [twin], execArgv: ['--expose-gc'] })
    t.after(() => server.stop())
    const { trend, findings } = await drive(server, 60, ({ findings }) => heapLeak(findings) !== undefined)
    const leak = heapLeak(findings)
    if (twin === 'healthy') return assert.equal(leak, undefined)
    assert.equal(trend.heap.state, 'leaking')
    assert.equal(trend.heap.per, 'connection')
    // 4,000 small integers, and the socket.
    assert.ok(
      trend.heap.bytesPerRequest > 16_000 && trend.heap.bytesPerRequest < 64_000,
      `${trend.heap.bytesPerRequest}`
    )
    assert.match(leak.advice, /per connection/)
    assert.doesNotMatch(leak.advice, /per request/)
  })
}
