'use strict'

const assert = require('node:assert/strict')
const { writeFileSync } = require('node:fs')
const http = require('node:http')
const { join } = require('node:path')
const test = require('node:test')
const { start } = require('../support/child.js')
const { folder } = require('../support/cli.js')
const { request, until } = require('../support/http.js')
const { nodes, major } = require('../support/nodes.js')
const { postgres } = require('../support/postgres.js')

/** Requests of a kind, one after the other: until V8 has compiled them, and then for comparison. */
const WARM_UP = 100
const ALONE = 50
/** Requests of a kind among the others, this many at once. */
const TIMES = 200
const BODY = JSON.stringify({ text: 'x'.repeat(2000) })

test('each request gets its own bytes, 200 at once', async t => {
  const database = await postgres(t)
  if (database === null) return
  const file = join(folder(t), 'file')
  writeFileSync(file, Buffer.alloc(65_536))
  for (const node of nodes)
    await t.test(`on Node ${major(node)}`, t => attribution(t, node, { POSTGRES: database, FILE: file }))
})

async function attribution(t, node, env) {
  const server = await start('attribution', { node: node.path, env })
  t.after(() => server.stop())
  const known = await server.ask('known')
  const kinds = Object.keys(known)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 200 })
  t.after(() => agent.destroy())
  const ask = async path => {
    const options = /body|parsed/.test(path)
      ? { method: 'POST', headers: { 'content-type': 'application/json' }, body: BODY, agent }
      : { agent }
    const { status, body } = await request(server.port, path, options)
    assert.equal(status, 200, `${path}: ${body}`)
  }

  for (const kind of kinds) for (let i = 0; i < WARM_UP; i++) await ask(`/warm/${kind}`)
  for (const kind of kinds) for (let i = 0; i < ALONE; i++) await ask(`/alone/${kind}`)
  const paths = Array.from({ length: TIMES * kinds.length }, (_, i) => `/mixed/${kinds[(i * 7) % kinds.length]}`)
  const queue = paths.values()
  await Promise.all(
    Array.from({ length: TIMES }, async () => {
      for (const path of queue) await ask(path)
    })
  )

  const stats = await until(async () => {
    const stats = await server.ask('stats')
    return stats.requests.inFlight === 0 && stats
  }, 'all requests have ended')
  const row = (round, kind) => stats.routes.find(({ route }) => route === `/${round}/${kind}`)
  let charged = 0
  let allocated = 0
  for (const kind of kinds) {
    const [alone, mixed] = [row('alone', kind).heapBytes, row('mixed', kind).heapBytes]
    charged += mixed.sum
    allocated += mixed.count * known[kind]
    const off = figure => mixed[figure] / alone[figure] - 1
    t.diagnostic(
      `${kind}: allocates ${known[kind]}; alone mean ${alone.mean.toFixed(0)} median ${alone.p50.toFixed(0)}; mixed mean ` +
        `${mixed.mean.toFixed(0)} (${(100 * off('mean')).toFixed(2)} %), median ${mixed.p50.toFixed(0)} (${(100 * off('p50')).toFixed(2)} %)`
    )
  }
  t.diagnostic(`charged ${charged} of ${allocated} known: ${((100 * charged) / allocated).toFixed(1)} %`)
  for (const kind of kinds) {
    const [alone, mixed] = [row('alone', kind), row('mixed', kind)]
    assert.equal(mixed.count, TIMES)
    assert.equal(mixed.wholeCount, TIMES)
    assert.ok(
      Math.abs(mixed.heapBytes.mean / alone.heapBytes.mean - 1) <= 0.03,
      `${kind}: mean ${mixed.heapBytes.mean}`
    )
    assert.ok(Math.abs(mixed.heapBytes.p50 / alone.heapBytes.p50 - 1) <= 0.07, `${kind}: median ${mixed.heapBytes.p50}`)
    assert.ok(mixed.heapBytes.mean >= 0.95 * known[kind], `${kind}: ${mixed.heapBytes.mean} of ${known[kind]}`)
  }
  assert.ok(charged >= 0.95 * allocated)
}
