'use strict'

// What small groups of requests are charged during concurrent collections, sweeping and compilation.

const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const { start } = require('../support/child.js')
const { request, until } = require('../support/http.js')
const { need } = require('../support/nodes.js')

const BLOCKS = 100
const PER_BLOCK = 4

for (const version of [20, 22, 24, 26]) {
  test(`Node ${version}: no group of requests beside collections has a negative sum, and what is left out is counted`, async t => {
    const nodes = need(t, [version])
    if (nodes === null) return
    const server = await start('churn', { node: nodes[0].path })
    t.after(() => server.stop())
    const agent = new http.Agent({ keepAlive: true })
    t.after(() => agent.destroy())
    const settled = () =>
      until(async () => {
        const stats = await server.ask('stats')
        return stats.requests.inFlight === 0 && stats
      }, 'all requests have ended')
    const small = stats => stats.routes.find(row => row.route === '/small')

    let before = { count: 0, sum: 0, allocated: 0, attributed: 0 }
    const means = []
    let stats
    for (let block = 0; block < BLOCKS; block++) {
      await request(server.port, '/churn', { agent })
      for (let i = 0; i < PER_BLOCK; i++) await request(server.port, '/small', { agent })
      stats = await settled()
      const { count, sum } = small(stats).heapBytes
      const { allocatedBytes: allocated, attributedBytes: attributed } = stats.heap
      if (count > before.count) means.push((sum - before.sum) / (count - before.count))
      else assert.equal(sum, before.sum)
      assert.ok(allocated > before.allocated && attributed >= before.attributed, `block ${block}: a counter fell`)
      before = { count, sum, allocated, attributed }
    }

    assert.equal(stats.heap.exact, true, stats.heap.reason)
    assert.ok(stats.gc['mark-sweep-compact'].count > 0 && stats.gc.scavenge.count > 0, 'V8 has collected')
    assert.ok(
      Math.min(...means) > 1000,
      `a request allocates some kilobytes; a block of ${PER_BLOCK} shows ${Math.min(...means)} each`
    )
    assert.ok(small(stats).heapBytes.min > 0)
    assert.equal(await server.ask('least'), 0, 'usage() is never negative')

    const { count, heapBytes } = small(stats)
    assert.equal(count, BLOCKS * PER_BLOCK)
    assert.ok(heapBytes.count >= 0.8 * count, `only ${heapBytes.count} of ${count} are certain`)
    const leftOut = stats.routes.reduce((sum, row) => sum + row.count - row.heapBytes.count, 0)
    assert.equal(stats.heap.uncertainRequests, leftOut)

    // Most blocks are alike. Only the later half is used, when code has been compiled.
    const later = means.slice(means.length / 2).sort((a, b) => a - b)
    const median = later[later.length >> 1]
    const alike = later.filter(mean => Math.abs(mean - median) < 0.25 * median)
    assert.ok(alike.length > 0.7 * later.length, `${alike.length} of ${later.length} are near ${median.toFixed(0)}`)
    t.diagnostic(
      `mean ${heapBytes.mean.toFixed(0)}, median ${heapBytes.p50.toFixed(0)}, blocks from ${Math.min(...means).toFixed(0)} ` +
        `to ${Math.max(...means).toFixed(0)}; ${leftOut} left out, ${count - heapBytes.count} of them of this route`
    )
  })
}
