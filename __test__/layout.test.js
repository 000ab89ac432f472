'use strict'

// A V8 whose figures lie elsewhere than in the versions that are known: the probe finds out and turns itself off.

const assert = require('node:assert/strict')
const test = require('node:test')
const { start } = require('./support/child.js')
const { request, until } = require('./support/http.js')

for (const shift of [0, 1, 2, 3, 7, 40]) {
  test(`figures that are ${shift} words from where they should be ${shift === 0 ? 'are' : 'are not'} believed`, async t => {
    const server = await start('layout', { args: [`${shift}`] })
    t.after(() => server.stop())
    for (let i = 0; i < 3; i++) assert.equal((await request(server.port, `/rows/${i}`)).status, 200)
    assert.equal((await request(server.port, '/up', { method: 'POST', body: 'x'.repeat(2000) })).status, 413)
    const stats = await until(async () => {
      const stats = await server.ask('stats')
      return stats.requests.inFlight === 0 && stats
    }, 'all have ended')
    const { heap, nearLimit, requests, routes } = stats
    assert.equal(heap.exact, shift === 0)
    assert.equal(nearLimit.armed, shift === 0)
    if (shift > 0) {
      assert.match(heap.reason, /not where they should be/)
      assert.match(nearLimit.reason, /the exact heap probe is off: V8's figures/)
    }
    // The rest works.
    const { used_heap_size: used, heap_size_limit: limit } = await server.ask('heap')
    assert.equal(heap.limitBytes, limit)
    assert.ok(heap.usedBytes > used / 2 && heap.usedBytes < used * 2, `${heap.usedBytes}, ${used}`)
    assert.deepEqual([requests.total, requests.limited], [4, 1])
    assert.equal(routes.find(row => row.route === '/rows/:id').count, 3)
    assert.match(await server.ask('metrics'), /^plimsoll_heap_exact /m)
    assert.equal(stats.faults, 0)
  })
}
