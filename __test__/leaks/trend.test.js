'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')
const plimsoll = require('../..')
const { start } = require('../support/child.js')
const { show, folder } = require('../support/cli.js')
const { pipelined, until } = require('../support/http.js')
const { heapLeak, heapLeaks } = require('../support/leaks.js')

/** A server under load, with a forced collection after each burst. */
async function server(t, { leaks, options, env } = {}) {
  const args = [leaks ?? 'nothing', ...(options === undefined ? [] : [JSON.stringify(options)])]
  const server = await start('trend', { args, execArgv: ['--expose-gc'], env })
  t.after(() => server.stop())
  return server
}

const BURST = 200

/** Sends `requests` requests on one connection. Returns the live heap after them. */
async function burst(server, requests = BURST) {
  await pipelined(server.port, '/users/1', requests)
  return server.ask('gc')
}

/** The first collections belong to the warm-up. */
const WARM_UP = 8

/**
 * Sends at most `most` bursts, until `condition` holds for the report on the last collection. Also returns the live
 * heap after each, as V8 reports it to the app.
 */
async function drive(server, most, condition) {
  let { to } = (await server.ask('stats')).trend.heap
  const lived = []
  for (let round = 1; round <= most; round++) {
    lived.push(await burst(server))
    const { trend, findings } = await until(async () => {
      const stats = await server.ask('stats')
      return ((to === null && round <= WARM_UP) || stats.trend.heap.to !== to) && stats
    }, 'a look at the last collection')
    to = trend.heap.to
    const leak = heapLeak(findings)
    if (condition({ ...trend, leak })) return { ...trend, leak, lived }
  }
  throw new Error(`not in ${most} rounds: ${JSON.stringify((await server.ask('stats')).trend)}`)
}

/** Growth of the live heap in bytes per 1,000 requests: the median of the slopes between any two bursts. */
function slopeOf(lived) {
  const slopes = lived.flatMap((bytes, i) => lived.slice(i + 1).map((later, j) => (later - bytes) / (j + 1)))
  return (slopes.sort((a, b) => a - b)[slopes.length >> 1] * 1000) / BURST
}

test('a leak on the heap is reported once, with its size, and withdrawn when it is fixed', async t => {
  const dir = folder(t)
  const app = await server(t, { leaks: 'heap', env: { PLIMSOLL_DIR: dir } })
  const found = await drive(app, 60, ({ heap, leak }) => heap.state === 'leaking' && leak !== undefined)
  const { heap, leak } = found
  // The app retains 1,024 B for each request. V8 retains some more for compiled code and the unused rest of pages.
  const slope = slopeOf(found.lived.slice(WARM_UP))
  t.diagnostic(`${slope} ${JSON.stringify(heap)} ${leak.advice}`)
  assert.ok(heap.bytesPerRequest > 950, `${heap.bytesPerRequest}`)
  assert.ok(Math.abs((heap.bytesPerRequest * 1000) / slope - 1) < 0.08, `${heap.bytesPerRequest}, but V8 says ${slope}`)
  assert.ok(heap.low <= heap.bytesPerRequest && heap.bytesPerRequest <= heap.high && heap.p < 1e-4)
  assert.ok(heap.samples >= 16 && heap.since <= heap.to)
  assert.deepEqual(
    [leak.kind, leak.route, leak.origin, leak.severity, leak.withdrawnAt],
    ['leak', null, null, 'critical', null]
  )
  assert.match(leak.advice, /^the heap grows by 1\d\d\d B \(\d+ to \d+\) per request\. Since \d\d:\d\d UTC: /)
  assert.match(app.output(), /plimsoll: leak: the heap grows by/)
  assert.match(await app.ask('metrics'), /^plimsoll_trend_state\{quantity="heap"\} 3/m)
  const record = await until(async () => {
    const [record] = await show(dir)
    return record.trend.heap.state === 'leaking' && record
  }, 'the record says it too')
  assert.equal(heapLeak(record.findings).severity, 'critical')

  await app.ask('fix')
  const fixed = await drive(app, 80, ({ heap, leak }) => heap.state === 'steady' && leak.withdrawnAt !== null)
  assert.equal(fixed.leak.severity, 'info')
  assert.match(fixed.leak.advice, /^growth stopped by \d\d:\d\d UTC: the heap grew by 1\d\d\d B/)
  const heard = heapLeaks(await app.ask('heard'))
  assert.deepEqual(
    heard.map(({ withdrawnAt }) => withdrawnAt === null),
    [true, false],
    'told once, and taken back once'
  )
})

test('retained Buffers are a leak of external memory', async t => {
  const app = await server(t, { leaks: 'external' })
  const { external, heap } = await drive(app, 60, ({ external }) => external.state === 'leaking')
  assert.ok(external.bytesPerRequest > 15e3 && external.bytesPerRequest < 18e3, `${external.bytesPerRequest}`)
  // Each takes some 200 bytes of the heap.
  assert.ok((heap.bytesPerRequest ?? heap.high) < external.bytesPerRequest / 10, `${heap.bytesPerRequest}`)
  const leak = await until(async () => {
    const { findings } = await app.ask('stats')
    return findings.find(({ kind, origin }) => kind === 'leak' && origin === '(external memory)')
  }, 'the finding')
  assert.match(leak.advice, /^memory of Buffers and ArrayBuffers grows by 1\d{4} B /)
})

test('caches that have filled are none; and a leak that begins after a long healthy time is found', async t => {
  const app = await server(t)
  const rounds = process.env.PLIMSOLL_SLOW ? 300 : 40
  let said = 0
  await drive(app, rounds, ({ heap, external, native, leak }) => {
    assert.equal(leak, undefined)
    for (const { state } of [heap, external, native]) assert.notEqual(state, 'leaking')
    return ++said === rounds
  })
  await app.ask('leak', 'heap')
  const { heap } = await drive(app, 80, ({ heap }) => heap.state === 'leaking')
  assert.ok(heap.bytesPerRequest > 500, `${heap.bytesPerRequest}`)
})

test('says nothing before there is enough to say, and nothing at all where it is off', async t => {
  const app = await server(t, { leaks: 'heap' })
  await burst(app)
  const { trend } = await app.ask('stats')
  assert.deepEqual(trend.heap, {
    state: 'learning',
    per: 'request',
    samples: 0,
    progress: {
      requests: trend.heap.progress.requests,
      ofRequests: 3000,
      collections: 0,
      ofCollections: 21,
      etaMs: null
    },
    bytesPerRequest: null,
    low: null,
    high: null,
    p: null,
    since: null,
    from: null,
    to: null,
    hoursToLimit: null
  })
  for (const options of [false, { trend: false }]) {
    const off = await server(t, { leaks: 'heap', options })
    await burst(off)
    assert.deepEqual((await off.ask('stats')).trend, { heap: null, external: null, native: null })
  }
})

test('what `leaks` takes is checked', () => {
  for (const leaks of [null, 'on', 1, [], { trend: 1 }, { trend: null }, { paths: true }]) {
    assert.throws(() => plimsoll({ leaks }), { name: 'TypeError', message: /plimsoll\(\)'s leaks.*trend/ })
  }
  for (const leaks of [{ sites: 1 }, { trend: false, sites: true }]) {
    assert.throws(() => plimsoll({ leaks }), { name: 'TypeError', message: /plimsoll\(\)'s leaks\.sites takes/ })
  }
})
