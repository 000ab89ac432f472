'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const { start } = require('../support/child.js')
const { request, until } = require('../support/http.js')

const MB = 2 ** 20
const KNOWN = 20_000 * 6 * 8

async function app(t, mode, options = {}) {
  const server = await start('spans', { ...options, env: mode === undefined ? {} : { ASYNC: JSON.stringify(mode) } })
  t.after(() => server.stop())
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  return {
    ...server,
    get: path => request(server.port, path, { agent }),
    row: async route => (await server.ask('stats')).routes.find(row => row.route === route),
    settled: () =>
      until(async () => {
        const stats = await server.ask('stats')
        return stats.requests.inFlight === 0 && stats
      }, 'no request in flight')
  }
}

/**
 * Whether a figure equals what a handler allocates, with Express's share. Use medians: during concurrent sweeping (the
 * first dozen requests of a process, on Node 26), one reading may be off by half a megabyte, in either direction.
 */
function near(bytes, known = KNOWN) {
  return bytes > 0.98 * known && bytes < 1.05 * known
}

test('by default some requests are metered whole, and routes say how many', async t => {
  const server = await app(t)
  for (let i = 0; i < 100; i++) await server.get('/awaits')
  let sent = 100
  const warm = await server.row('/awaits')
  const row = await until(
    async () => {
      for (let i = 0; i < 20; i++) await server.get('/awaits')
      sent += 20
      const row = await server.row('/awaits')
      return row.wholeCount >= warm.wholeCount + 50 && row
    },
    '50 requests metered whole',
    60_000
  )
  assert.ok(row.wholeCount < row.count, `${row.wholeCount} of ${row.count}`)
  const wholeSum = row => row.wholeHeapMeanBytes * row.wholeCount
  const whole = (wholeSum(row) - wholeSum(warm)) / (row.wholeCount - warm.wholeCount)
  assert.ok(near(whole), `${whole}`)
  // The others have their synchronous part only.
  const others = (row.heapBytes.mean * row.count - wholeSum(row)) / (row.count - row.wholeCount)
  assert.ok(others < 0.5 * KNOWN, `${others}`)
  const { asyncSpans, requests } = await server.settled()
  assert.equal(requests.total, sent)
  assert.ok(asyncSpans.wholeRequests >= 50)
  assert.ok(asyncSpans.share > 0 && asyncSpans.share <= 0.2, `${asyncSpans.share}`)
  assert.ok(asyncSpans.cost >= 0)
})

test('a request that a window does not hold is not called whole', async t => {
  const server = await app(t)
  const slow = server.get('/slow')
  await until(async () => {
    await server.get('/awaits')
    return (await server.ask('stats')).asyncSpans.wholeRequests > 0
  }, 'a window')
  await slow
  const row = await until(() => server.row('/slow'), 'the slow one has ended')
  assert.equal(row.count, 1)
  assert.equal(row.wholeCount, 0)
})

test('switched off, only synchronous code is charged, also after middleware that waits', async t => {
  const server = await app(t, false)
  for (let i = 0; i < 100; i++) {
    await server.get('/awaits')
    await server.get('/behind')
  }
  const { asyncSpans, heap } = await server.settled()
  assert.deepEqual(asyncSpans, { share: 0, cost: 0, wholeRequests: 0 })
  const [awaits, behind] = [await server.row('/awaits'), await server.row('/behind')]
  assert.ok(awaits.heapBytes.p50 < 0.2 * KNOWN, `${awaits.heapBytes.p50}`)
  assert.ok(near(behind.heapBytes.p50), `${behind.heapBytes.p50}`)
  assert.equal(awaits.wholeHeapMeanBytes, null)
  assert.ok(heap.unattributedBytes > 90 * KNOWN, 'what is charged to nobody is said')
})

test('always on, every request is whole', async t => {
  const server = await app(t, true)
  for (let i = 0; i < 50; i++) {
    await server.get('/awaits')
    await server.get('/behind')
  }
  const { asyncSpans } = await server.settled()
  assert.equal(asyncSpans.share, 1)
  for (const route of ['/awaits', '/behind']) {
    const row = await server.row(route)
    assert.equal(row.wholeCount, 50)
    assert.ok(near(row.heapBytes.p50), `${route}: ${row.heapBytes.p50}`)
  }
})

test('what is outside the heap is charged as well: buffers, and the response', async t => {
  const server = await app(t, true)
  for (let i = 0; i < 100; i++) await server.get('/buffers')
  await server.settled()
  const row = await server.row('/buffers')
  assert.ok(row.externalMedianBytes > 2 * MB && row.externalMedianBytes < 2.2 * MB, `${row.externalMedianBytes}`)
  assert.ok(row.responseBytes.min > 50_000 && row.responseBytes.max < 51_000, `${row.responseBytes.max}`)
  const { buffers } = await server.ask('usages')
  assert.equal(buffers.whole, true)
  assert.ok(buffers.spans >= 2)
  for (const figure of ['nativeBytes', 'nativePeakBytes', 'nativeTotalBytes'])
    assert.ok(Number.isInteger(buffers[figure]))
  assert.ok(buffers.nativePeakBytes >= buffers.nativeBytes && buffers.nativeTotalBytes >= 0)
  assert.ok(
    row.nativePeakBytes < MB && row.nativeHeldMeanBytes < 10_000,
    'the addon holds next to nothing for a request'
  )
})

test('a context that outlives its request retains no request, and charges none', async t => {
  const server = await app(t, true, { execArgv: ['--expose-gc'] })
  for (let i = 0; i < 20; i++) await server.get('/lasting')
  // A keep-alive socket refers to its last request for a while.
  await until(async () => {
    await server.get('/awaits')
    return (await server.ask('alive')) === 0
  }, 'all requests are collected')
  for (let i = 0; i < 50; i++) await server.get('/awaits')
  const { heapBytes } = await server.row('/awaits')
  assert.ok(near(heapBytes.p50), `${heapBytes.p50}`)
})

test('a callback that throws leaves no span open', async t => {
  const server = await app(t, true)
  for (let i = 0; i < 20; i++) {
    await server.get('/throws')
    await server.get('/awaits')
  }
  assert.equal(await server.ask('expected'), 20)
  const { faults: internalErrors } = await server.settled()
  assert.equal(internalErrors, 0)
  const awaits = (await server.row('/awaits')).heapBytes.p50
  assert.ok(near(awaits), `${awaits}`)
  const throws = (await server.row('/throws')).heapBytes.p50
  assert.ok(throws < 1000 * 48 + 100_000, `${throws}`)
})

test('data that two requests requested from one socket is charged to neither', async t => {
  const server = await app(t, true)
  await Promise.all([request(server.port, '/shared/a'), request(server.port, '/shared/b')])
  const { a, b } = await server.ask('usages')
  const known = 50_000 * 6 * 8
  assert.ok(a.heapBytes < 0.5 * known, `a was charged ${a.heapBytes}`)
  assert.ok(b.heapBytes < 0.5 * known, `b was charged ${b.heapBytes}`)
  assert.equal((await server.settled()).faults, 0)
})
