'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const { start } = require('../support/child.js')
const { request, until } = require('../support/http.js')

// V8 without pointer compression. An array of n elements is 32 bytes and a store of 16 + 8n. An object literal of three
// properties is map, properties, elements and three fields.
const DOUBLES = 32 + 16 + 8 * 131_072
const OBJECTS = 10_000 * 6 * 8
const REQUESTS = 1000

for (const express of ['express', 'express4']) {
  test(`reads what handlers of ${express} allocate: the mean within 1 %, the median within 2 %`, async t => {
    const server = await start('known', { env: { EXPRESS: express } })
    t.after(() => server.stop())
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
    t.after(() => agent.destroy())
    const drive = async (path, times) => {
      for (let i = 0; i < times; i += 4)
        await Promise.all(Array.from({ length: 4 }, () => request(server.port, path, { agent })))
    }
    for (const kind of ['nothing', 'doubles', 'objects']) await drive(`/warm/${kind}`, REQUESTS)
    for (const kind of ['nothing', 'doubles', 'objects']) await drive(`/measured/${kind}`, REQUESTS)
    const stats = await until(async () => {
      const stats = await server.ask('stats')
      return stats.requests.inFlight === 0 && stats
    }, 'all requests have ended')

    const heap = kind => stats.routes.find(row => row.route === `/measured/${kind}`).heapBytes
    const constant = heap('nothing')
    // What V8's compilers blur is left out, and counted.
    const rows = stats.routes.map(row => row.count - row.heapBytes.count)
    assert.equal(
      stats.heap.uncertainRequests,
      rows.reduce((a, b) => a + b, 0)
    )
    for (const row of stats.routes.filter(row => row.route.startsWith('/measured/'))) {
      assert.equal(row.count, REQUESTS)
      assert.ok(row.heapBytes.count >= 0.85 * REQUESTS, `${row.route}: ${row.heapBytes.count} of ${REQUESTS}`)
    }
    for (const [kind, known] of [
      ['doubles', DOUBLES],
      ['objects', OBJECTS]
    ]) {
      const { mean, p50, p99 } = heap(kind)
      const off = (value, base) => (value - known - base) / (known + base)
      t.diagnostic(
        `${kind}: allocates ${known}; mean ${mean.toFixed(0)} (${(100 * off(mean, constant.mean)).toFixed(2)} %), ` +
          `median ${p50.toFixed(0)} (${(100 * off(p50, constant.p50)).toFixed(2)} %), p99 ${p99.toFixed(0)}; ` +
          `express itself: mean ${constant.mean.toFixed(0)}, median ${constant.p50.toFixed(0)}`
      )
      assert.ok(Math.abs(off(mean, constant.mean)) <= 0.01, `${kind}: mean ${mean}`)
      assert.ok(Math.abs(off(p50, constant.p50)) <= 0.02, `${kind}: median ${p50}`)
    }
    const { allocatedBytes, attributedBytes, unattributedBytes } = stats.heap
    assert.equal(allocatedBytes, attributedBytes + unattributedBytes)
    t.diagnostic(`allocated ${allocatedBytes}, attributed ${attributedBytes}, unattributed ${unattributedBytes}`)
  })
}

test('goes on without exact figures, and says so, when the probe is switched off', async t => {
  const server = await start('known', { env: { PLIMSOLL_PROBE: 'off' } })
  t.after(() => server.stop())
  for (let i = 0; i < 20; i++) await request(server.port, '/measured/doubles')
  const stats = await until(async () => {
    const stats = await server.ask('stats')
    return stats.requests.inFlight === 0 && stats.routes.length > 0 && stats
  }, 'all requests have ended')
  assert.equal(stats.heap.exact, false)
  assert.match(stats.heap.reason, /PLIMSOLL_PROBE=off/)
  assert.ok(stats.heap.usedBytes > 1 << 20 && stats.heap.limitBytes > 1 << 28)
  const { heapBytes } = stats.routes[0]
  assert.equal(heapBytes.count, 20)
  assert.ok(heapBytes.p50 > 1_000_000 && heapBytes.p50 < 1_300_000, `${heapBytes.p50}`)
})
