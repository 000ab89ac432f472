'use strict'

// Near V8's heap limit: one reserve, in which the app sheds and drains.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { existsSync } = require('node:fs')
const test = require('node:test')
const { Worker } = require('node:worker_threads')
const plimsoll = require('../..')
const { start } = require('../support/child.js')
const { folder, show } = require('../support/cli.js')
const { request, until } = require('../support/http.js')

const MIB = 2 ** 20
const execArgv = ['--max-old-space-size=200']
// Only V8's call counts, not the heap's marks.
const NO_MARKS = '{"shed":{"heap":false,"delayMs":false}}'

/**
 * Makes the app retain another megabyte with each request, until it refuses one or has released what it retained. (On a
 * busy machine its loop may tick, and V8 collect, before the next request.) Rejects if there is no response.
 */
async function fill(port) {
  for (let kept = 1; kept < 400; kept++) {
    const { status, body } = await request(port, '/keep/1')
    assert.ok(status === 200 || status === 503, `${status}: ${body}`)
    if (status === 503 || Number(body) < kept) return { kept, status }
  }
  throw new Error('400 MB fit into a heap of 200')
}

test('a server whose heap is pushed over survives where a bare one aborts', async t => {
  const bare = await start('burst', { execArgv, args: ['bare'] })
  t.after(() => bare.stop())
  await assert.rejects(fill(bare.port), { code: /^E(CONN|PIPE)/ })
  assert.deepEqual(await bare.exited, { code: null, signal: 'SIGABRT' })

  const server = await start('burst', { execArgv, args: ['plimsoll+shed+drain', NO_MARKS] })
  t.after(() => server.stop())
  const { heap: before } = await server.ask('stats')
  const { kept, status } = await fill(server.port)
  t.diagnostic(`granted after ${kept} MB, ${status === 503 ? 'let go at a refusal' : 'let go at a tick'}`)
  await until(async () => (await request(server.port, '/small')).status === 200, 'it admits again')
  // Within a minute, another burst that the app releases in time needs no reserve.
  for (let i = 0; i < 80; i++) assert.equal((await request(server.port, '/keep/1')).status, 200)
  const { heap } = await until(async () => {
    const stats = await server.ask('stats')
    return stats.heap.limitBytes === before.limitBytes && stats
  }, 'the limit is where it was')
  const { nearLimit, events } = { ...(await server.ask('stats')), events: await server.ask('announced') }
  assert.equal(heap.exact, true)
  assert.deepEqual([nearLimit.armed, nearLimit.grants], [true, 1])
  const message = events.find(event => event.channel === 'near-limit')
  assert.equal(message.limitBytes, 200 * MIB)
  assert.equal(message.grantedBytes, nearLimit.reserveBytes)
  assert.ok(Math.abs(nearLimit.reserveBytes - 0.05 * before.limitBytes) < 2)
  assert.ok(message.usedBytes > 150 * MIB && Array.isArray(message.inFlight), JSON.stringify(message))
  assert.equal(nearLimit.at, message.at)
})

test('from the grant on every request is refused, until memory is released', async t => {
  const server = await start('burst', { execArgv, args: ['plimsoll+shed', NO_MARKS] })
  t.after(() => server.stop())
  assert.equal((await fill(server.port)).status, 503)
  for (let i = 0; i < 5; i++) assert.equal((await request(server.port, '/keep/1')).status, 503)
  const { nearLimit, requests } = await server.ask('stats')
  assert.deepEqual([nearLimit.grants, requests.shed], [1, 6])
})

test('grants once, and the death that follows is reported as one of the heap limit', async t => {
  // On a disk the record may be 250 ms older than the death.
  const dir = folder(t, existsSync('/dev/shm') ? '/dev/shm' : undefined)
  const server = await start('burst', {
    execArgv,
    args: ['plimsoll', '{"plimsoll":{"nearLimit":{"reserve":"20mb"}}}'],
    env: { PLIMSOLL_DIR: dir }
  })
  t.after(() => server.stop())
  const held = request(server.port, '/hold').catch(() => {})
  await assert.rejects(fill(server.port), { code: /^E(CONN|PIPE)/ })
  assert.equal((await server.exited).signal, 'SIGABRT')
  await held
  const [record] = await show(dir)
  assert.equal(record.death.cause, 'heap limit', record.death.evidence)
  assert.equal(record.nearLimit.grants, 1)
  const event = record.events.find(event => event.type === 'near-limit')
  assert.match(event.detail, /limit of 200 MiB, 20\.0 MiB more granted; \d+ in flight, the heaviest GET \/(hold|keep)/)
})

for (const [what, options, reason] of [
  ['--heapsnapshot-near-heap-limit claims it', { execArgv: ['--heapsnapshot-near-heap-limit=1'] }, /flag/],
  ['NODE_OPTIONS claim it', { env: { NODE_OPTIONS: '--heapsnapshot-near-heap-limit=1' } }, /flag/],
  ['it is switched off', { args: ['plimsoll', '{"plimsoll":{"nearLimit":false}}'] }, /switched off/],
  ['the probe is switched off', { env: { PLIMSOLL_PROBE: 'off' } }, /PLIMSOLL_PROBE=off/]
]) {
  test(`leaves the limit to V8 where ${what}, and says so`, async t => {
    const server = await start('burst', { args: ['plimsoll'], ...options })
    t.after(() => server.stop())
    const { nearLimit } = await server.ask('stats')
    assert.deepEqual([nearLimit.armed, nearLimit.grants, nearLimit.reserveBytes], [false, 0, 0])
    assert.match(nearLimit.reason, reason)
  })
}

test("leaves a worker's limit to Node, which makes an error of it", async t => {
  const program = `
    const { parentPort } = require('node:worker_threads')
    const plimsoll = require(${JSON.stringify(require.resolve('../..'))})
    plimsoll({ name: 'near-limit-worker', recorder: false })
    const { nearLimit, pressure } = plimsoll.stats()
    parentPort.postMessage({ nearLimit, pressure })
    const kept = []
    for (;;) kept.push(new Array(1e5).fill(kept.length + 0.5))`
  const worker = new Worker(program, {
    eval: true,
    resourceLimits: { maxOldGenerationSizeMb: 30, maxYoungGenerationSizeMb: 6 }
  })
  t.after(() => worker.terminate())
  const failed = once(worker, 'error')
  const [{ nearLimit, pressure }] = await Promise.race([once(worker, 'message'), failed.then(([error]) => [error])])
  assert.equal(nearLimit.armed, false)
  assert.match(nearLimit.reason, /worker/)
  assert.equal(pressure.semiSpaceMaxBytes, 2 * MIB)
  const error = await failed.then(
    ([error]) => error,
    error => error
  )
  assert.equal(error.code, 'ERR_WORKER_OUT_OF_MEMORY')
})

test('every wrong reserve is a TypeError that says what it takes', () => {
  for (const reserve of ['51%', '0%', '-1%', '5 percent', '5m', 0, -1, null, true, [], Number.NaN]) {
    const given = { nearLimit: { reserve } }
    assert.throws(() => plimsoll(given), {
      name: 'TypeError',
      message: /plimsoll\(\)'s nearLimit\.reserve takes a share/
    })
  }
  for (const nearLimit of [true, null, '5%', 5]) {
    assert.throws(() => plimsoll({ nearLimit }), {
      name: 'TypeError',
      message: /nearLimit takes an object with reserve/
    })
  }
  assert.throws(() => plimsoll({ nearLimit: { grants: 2 } }), { name: 'TypeError', message: /no option 'grants'/ })
})
