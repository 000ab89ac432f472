'use strict'

// V8s that the probe does not know: their functions are not called, or their figures are not used, and the rest works.

const assert = require('node:assert/strict')
const test = require('node:test')
const { start } = require('../support/child.js')
const { request, until } = require('../support/http.js')
const { nodes } = require('../support/nodes.js')

/** Drives the app. Returns what it reports. */
async function use(t, { args = [], env = {}, node, execArgv } = {}) {
  const server = await start('probe', { args, env: { PLIMSOLL_PROBE: '', ...env }, node, execArgv })
  t.after(() => server.stop())
  for (let i = 0; i < 3; i++) assert.equal((await request(server.port, `/rows/${i}`)).status, 200)
  assert.equal((await request(server.port, '/up', { method: 'POST', body: 'x'.repeat(2000) })).status, 413)
  const stats = await until(async () => {
    const stats = await server.ask('stats')
    return stats.requests.inFlight === 0 && stats
  }, 'all have ended')
  // The rest works, with any state of the probe.
  assert.deepEqual([stats.requests.total, stats.requests.limited], [4, 1])
  assert.equal(stats.routes.find(row => row.route === '/rows/:id').count, 3)
  assert.match(await server.ask('metrics'), /^plimsoll_heap_exact /m)
  assert.equal(stats.faults, 0)
  const [heap, warnings] = [await server.ask('heap'), await server.ask('warnings')]
  assert.equal(stats.heap.limitBytes, heap.heap_size_limit)
  const [used, { usedBytes }] = [heap.used_heap_size, stats.heap]
  assert.ok(usedBytes > used / 4 && usedBytes < used * 4, `${usedBytes}, ${used}`)
  return { ...stats, warnings, place: await server.ask('place'), sampler: await server.ask('sampler') }
}

function assertOn({ heap, nearLimit, place, sampler }) {
  assert.deepEqual([heap.exact, heap.reason, nearLimit.armed], [true, undefined, true])
  assert.match(place, /support\.js:\d+$/)
  assert.equal(sampler.own, true)
  assert.ok(sampler.nodes > 0)
}

function assertOff({ heap, nearLimit, place, sampler }, reason) {
  assert.equal(heap.exact, false)
  assert.match(heap.reason, reason)
  assert.equal(nearLimit.armed, false)
  assert.match(nearLimit.reason, /the exact heap probe is off/)
  // No function of V8 is called then.
  assert.equal(place, '')
  assert.equal(sampler.own, false)
  assert.ok(sampler.nodes > 0, 'the inspector starts the sampler')
}

for (const node of nodes) {
  const on = { node: node.path }

  test(`the probe and all that calls V8 is on where everything is as it should be (Node ${node.version})`, async t => {
    assertOn(await use(t, on))
  })

  test(`the probe is on without compilers too (Node ${node.version})`, async t => {
    assertOn(await use(t, { ...on, execArgv: ['--jitless'] }))
  })

  test(`a V8 that was not tested is not called, and stats() says what to do (Node ${node.version})`, async t => {
    assertOff(
      await use(t, { ...on, args: ['--v8=15.1.27.3-node.12'] }),
      /^V8 15\.1 has not been tested: set PLIMSOLL_PROBE=on to try it, or update plimsoll$/
    )
  })

  test(`PLIMSOLL_PROBE=on tries a V8 that was not tested, and verifies it (Node ${node.version})`, async t => {
    const env = { PLIMSOLL_PROBE: 'on' }
    assertOn(await use(t, { ...on, env, args: ['--v8=15.1.27.3-node.12'] }))
    const swapped = ['--v8=15.1.27.3-node.12', '--swap=external_memory,malloced_memory']
    assertOff(await use(t, { ...on, env, args: swapped }), /could not be verified/)
  })
}

for (const swap of [
  'malloced_memory,peak_malloced_memory',
  'malloced_memory,external_memory',
  'total_heap_size_executable,malloced_memory',
  'total_heap_size_executable,number_of_native_contexts',
  'external_memory,total_heap_size',
  'total_heap_size,used_heap_size'
])
  test(`finds out that two fields changed places: ${swap}`, async t => {
    assertOff(await use(t, { args: [`--swap=${swap}`] }), /could not be verified: \w+ was read as \d+/)
  })

test('PLIMSOLL_PROBE=off calls nothing of V8', async t => {
  assertOff(await use(t, { env: { PLIMSOLL_PROBE: 'off' } }), /^switched off by PLIMSOLL_PROBE=off$/)
})

test('another value of PLIMSOLL_PROBE is ignored with a warning that names those allowed', async t => {
  const found = await use(t, { env: { PLIMSOLL_PROBE: 'no' } })
  assertOn(found)
  assert.match(found.warnings.join('\n'), /PLIMSOLL_PROBE="no" is ignored\. Set it to 'on' or 'off'/)
})
