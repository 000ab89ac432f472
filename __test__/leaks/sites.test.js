'use strict'

const assert = require('node:assert/strict')
const { readFileSync } = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, describe, it } = require('node:test')
const { start } = require('../support/child.js')
const { request } = require('../support/http.js')
const { heapLeak, heapLeaks } = require('../support/leaks.js')

const USERS = path.join('__test__', 'apps', 'leaking', 'users.js')
const lines = readFileSync(path.join(__dirname, '..', '..', USERS), 'utf8').split('\n')
/** Where what stays is allocated: in the constructor or, once V8 has inlined that, in its caller. */
const SITES = ['function getUser', 'constructor('].map(
  text => `${USERS}:${lines.findIndex(line => line.includes(text)) + 1}`
)
const DEADLINE_MS = 300_000

const servers = []
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })

after(async () => {
  agent.destroy()
  for (const server of servers) await server.stop()
})

async function leaking(options = {}, ...args) {
  const server = await start('leaking/index', { execArgv: ['--expose-gc'], args: [JSON.stringify(options), ...args] })
  servers.push(server)
  return server
}

/**
 * Sends bursts of traffic, each with a major collection after it, until `done(stats)`. Both routes get the same
 * traffic, so only the callers of the allocating function distinguish them.
 */
async function drive(server, done) {
  const deadline = Date.now() + DEADLINE_MS
  for (let round = 0; Date.now() < deadline; round++) {
    const count = 100 + ((round * 53) % 97)
    for (const route of ['users', 'recent']) {
      await Promise.all(Array.from({ length: count }, (_, id) => request(server.port, `/${route}/${id}`, { agent })))
    }
    await server.ask('gc')
    const stats = await server.ask('stats')
    if (await done(stats)) return stats
  }
  throw new Error(
    `not within ${DEADLINE_MS} ms: ${JSON.stringify((await server.ask('stats')).trend)}\n${server.output()}`
  )
}

const leakOf = stats => heapLeak(stats.findings)

describe('allocation sites', { concurrency: 3 }, () => {
  it('names the function, its line and the route of a leak; then nothing is sampled any more', async () => {
    const server = await leaking()
    assert.equal(await server.ask('sampling'), false, 'nothing runs before anything is suspicious')
    const stats = await drive(server, stats => leakOf(stats)?.route)
    const { route, origin, severity, advice } = leakOf(stats)
    assert.ok(SITES.includes(origin), origin)
    assert.equal(route, 'GET /users/:id')
    assert.equal(severity, 'critical')
    assert.match(advice, /\((getUser|Session)\)/)
    assert.equal(heapLeaks(stats.findings).length, 1)
    assert.match(server.output(), /\((getUser|Session)\)/, 'told in the log')
    await drive(server, async () => !(await server.ask('sampling')))
  })

  it('leaves the sampler to another profiler, says so, and reports the leak without its allocation site', async () => {
    const server = await leaking({}, 'profiled')
    const stats = await drive(server, stats => leakOf(stats))
    assert.equal(leakOf(stats).origin, null)
    assert.match(leakOf(stats).advice, /another sampling heap profiler is active/)
    assert.equal(await server.ask('sampling'), true, 'it is still on')
  })

  it('a leak that begins when another has stopped is not taken for that one', async () => {
    const server = await leaking()
    const { origin } = leakOf(await drive(server, stats => leakOf(stats)?.origin))
    await server.ask('stop')
    await drive(server, stats => leakOf(stats).withdrawnAt !== null)
    await server.ask('other')
    const stands = stats => heapLeaks(stats.findings).find(({ withdrawnAt }) => withdrawnAt === null)
    const stats = await drive(server, stands)
    // It will be searched again, but not within minutes of the last search.
    assert.deepEqual([stands(stats).route, stands(stats).origin], [null, null])
    const [first] = heapLeaks(stats.findings)
    assert.equal(first.origin, origin)
    assert.notEqual(first.withdrawnAt, null)
  })

  it('continues without an allocation site if another profiler stops the sampler, and says so', async () => {
    const server = await leaking()
    await drive(server, () => server.ask('sampling'))
    await server.ask('steal')
    const stats = await drive(server, stats =>
      leakOf(stats)?.advice.includes('other code stopped the sampling heap profiler')
    )
    assert.equal(leakOf(stats).origin, null)
    assert.equal(stats.faults, 0)
    assert.equal(await server.ask('sampling'), false)
  })

  it('is not searched if that is switched off', async () => {
    const server = await leaking({ leaks: { sites: false } })
    const stats = await drive(server, async stats => {
      assert.equal(await server.ask('sampling'), false)
      return leakOf(stats)
    })
    assert.equal(leakOf(stats).origin, null)
  })
})
