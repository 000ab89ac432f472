'use strict'

/*
 * Whose requests a leak belongs to, and what retains it, by the defaults: all routes of a shop allocate in the same pool, and two of them
 * retain what they get.
 */

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, describe, it } = require('node:test')
const { setTimeout: pause } = require('node:timers/promises')
const { start } = require('../support/child.js')
const { heapLeak, heapLeaks } = require('../support/leaks.js')
const { major, missing, nodes } = require('../support/nodes.js')
const { build, load } = require('../support/shop.js')

const ROUTES = ['GET /reports/:id', 'POST /orders']
const DEADLINE_MS = 600_000
const LOOK_MS = 1000
/** Node's major version, what the shop is built to, and what the audit retains. All in the nightly lane: each takes minutes. */
const CASES = process.env.PLIMSOLL_SLOW
  ? [
      [20, 'CommonJS', 'rows'],
      [20, 'CommonJS', 'record'],
      [20, 'ES modules', 'rows'],
      [20, 'TypeScript to ES modules', 'record'],
      [22, 'CommonJS', 'record'],
      [22, 'TypeScript to CommonJS', 'rows'],
      [24, 'CommonJS', 'rows'],
      [24, 'ES modules', 'record'],
      [24, 'TypeScript', 'rows'],
      [26, 'CommonJS', 'record'],
      [26, 'TypeScript', 'rows']
    ]
  : [[major({ version: process.versions.node }), 'TypeScript to ES modules', 'rows']]

const linux = process.platform === 'linux' ? {} : { skip: 'what retains a leak is found on Linux only' }
const servers = []

after(async () => {
  for (const server of servers) await server.stop()
})

/** Under load until `done(leak)`. */
async function under(server, done) {
  const stop = new AbortController()
  const loading = load(server.port, { rate: 300, signal: stop.signal })
  try {
    const deadline = Date.now() + DEADLINE_MS
    for (;;) {
      const stats = await server.ask('stats')
      const leak = heapLeak(stats.findings)
      if (leak !== undefined && done(leak)) return { leak, stats }
      assert.ok(
        Date.now() < deadline,
        `not within ${DEADLINE_MS} ms: ${JSON.stringify({ leak, trend: stats.trend.heap })}`
      )
      await pause(LOOK_MS)
    }
  } finally {
    stop.abort()
    await loading
  }
}

describe('a leak in code that all routes share', linux, () => {
  for (const [version, form, shape] of CASES) {
    it(`belongs to the routes that retain it, and to what holds it (${form}, ${shape}, Node ${version})`, async t => {
      const node = nodes.find(node => major(node) === version)
      if (node === undefined) return missing(t, `Node ${version} not installed: run scripts/node-versions.sh`)
      const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-test-'))
      t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
      const { entry, file, lineOf } = build(dir, form)
      const server = await start(entry, { node: node.path, env: { SHOP_SHAPE: shape, PLIMSOLL_DIR: dir } })
      servers.push(server)
      const { leak, stats } = await under(server, ({ holder, routes }) => holder !== null && routes.length > 0)
      t.diagnostic(leak.advice)
      assert.deepEqual(leak.routes.map(({ route }) => route).sort(), ROUTES, 'these, and no other')
      assert.ok(ROUTES.includes(leak.route))
      for (const { bytesPerRequest, low, high } of leak.routes)
        assert.ok(low <= bytesPerRequest && bytesPerRequest <= high)
      const audit = file('services/audit')
      assert.equal(leak.holder, `AuditTrail.entries (a Map in ${audit})`)
      assert.equal(leak.addedBy, `AuditTrail.record (${audit}:${lineOf('services/audit', 'this.entries.set(')})`)
      assert.equal(leak.package, null)
      assert.ok(leak.hoursToLimit > 0)
      assert.equal(heapLeaks(stats.findings).length, 1, 'one leak is one finding')
      assert.equal(stats.faults, 0)
      assert.ok(leak.advice.startsWith(`${leak.holder} grows with requests: `), leak.advice)
    })
  }
})
