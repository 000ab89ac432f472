'use strict'

// What a leak consists of and what retains it, from two heap snapshots that the server takes of itself.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')
const { after, describe, it } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const plimsoll = require('../..')
const { start } = require('../support/child.js')
const cli = require('../support/cli.js')
const { request, until } = require('../support/http.js')
const { heapLeak } = require('../support/leaks.js')
const { major, missing, nodes } = require('../support/nodes.js')
const { childrenOf } = require('../support/processes.js')

const USERS = path.join('__test__', 'apps', 'leaking', 'users.js')
const lines = fs.readFileSync(path.join(__dirname, '..', '..', USERS), 'utf8').split('\n')
/** Where what stays is allocated: in the constructor or, once V8 has inlined that, in its caller. */
const SITES = ['function getUser', 'constructor('].map(
  text => `${USERS}:${lines.findIndex(line => line.includes(text)) + 1}`
)
/** Children have the lowest priority, so they take long on a busy machine. */
const DEADLINE_MS = 600_000
/** A snapshot waits for a second without a major collection. A profiling session takes a profile a second. */
const CALM_MS = 2000
const SAMPLING_MS = 1000

const linux = process.platform === 'linux' ? {} : { skip: 'by a child on Linux only' }
const agents = []
const servers = []

after(async () => {
  for (const agent of agents) agent.destroy()
  for (const server of servers) await server.stop()
})

async function leaking(leaks, { node, env } = {}) {
  const args = [JSON.stringify({ leaks, recorder: {} })]
  const server = await start('leaking/index', { node, execArgv: ['--expose-gc'], args, env })
  servers.push(server)
  return server
}

const leakOf = stats => heapLeak(stats.findings)

/** Sends bursts of different traffic, with the collections that the present step needs, until `done(leak, stats)`. */
async function drive(server, done) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  agents.push(agent)
  const deadline = Date.now() + DEADLINE_MS
  let collected = 0
  for (let round = 0; Date.now() < deadline; round++) {
    // A child that writes or compares snapshots has the lowest priority. Needless traffic would starve it on a busy
    // machine.
    while (childrenOf(server.pid).length > 0 && Date.now() < deadline) await sleep(50)
    const shares = { users: 60 + ((round * 53) % 97), recent: 60 + ((round * 71) % 89) }
    for (const [route, count] of Object.entries(shares)) {
      await Promise.all(Array.from({ length: count }, (_, id) => request(server.port, `/${route}/${id}`, { agent })))
    }
    const { findings } = await server.ask('stats')
    const calm = leakOf({ findings }) ? ((await server.ask('sampling')) ? SAMPLING_MS : CALM_MS) : 0
    if (Date.now() - collected >= calm) {
      await server.ask('gc')
      collected = Date.now()
    }
    const stats = await server.ask('stats')
    const leak = leakOf(stats)
    if (leak && (await done(leak, stats))) return { leak, stats }
  }
  const { findings, trend } = await server.ask('stats')
  throw new Error(`not within ${DEADLINE_MS} ms: ${JSON.stringify({ findings, trend })}\n${server.output()}`)
}

function folder(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-test-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  return dir
}

async function eventsOf(dir) {
  const [record] = await cli.show(dir)
  return record.events.map(({ type, detail }) => `${type}: ${detail}`)
}

function checkPath(leak) {
  assert.equal(leak.class, 'Session')
  assert.deepEqual([leak.path[0], leak.path.at(-1)], ['global', 'Session'])
  assert.ok(leak.path.includes(`module ${USERS}`) && leak.path.includes('cache: Map'), leak.path.join(' → '))
  assert.ok(leak.low <= leak.bytesPerRequest && leak.bytesPerRequest <= leak.high && leak.p < 1e-4)
  assert.match(
    leak.advice,
    /^cache \(a Map in __test__.apps.leaking.users\.js\) grows.*: Session objects \(\d+ % of the growth, \+/
  )
  assert.match(
    leak.advice,
    /UTC: [\d.]+ MiB in total, limit reached in about \d+ \w+, certainty 99\.99 %\. Delete entries when they are done/
  )
}

describe('what retains a leak', { concurrency: 3 }, () => {
  for (const version of [20, 24]) {
    it(
      `route, line, class and path are told, once each, and nothing is left behind (Node ${version})`,
      linux,
      async t => {
        const node = nodes.find(node => major(node) === version)
        if (node === undefined) return missing(t, `Node ${version} not installed: run scripts/node-versions.sh`)
        const dir = folder(t)
        const env = { PLIMSOLL_DIR: dir, TMPDIR: folder(t) }
        const server = await leaking({ snapshots: true }, { node: node.path, env })
        const { leak, stats } = await drive(server, leak => leak.class !== null && leak.route !== null)
        t.diagnostic(leak.advice)
        checkPath(leak)
        assert.equal(leak.route, 'GET /users/:id')
        assert.ok(SITES.includes(leak.origin), leak.origin)
        assert.match(
          leak.advice,
          / grows with requests: GET \/users\/:id retains \d+ B \(\d+ to \d+\) per request, allocated at .*:\d+ \((getUser|Session)\): /
        )
        // One for each request of the route, or for all requests if the route is uncertain.
        assert.ok(leak.perThousand > 400 && leak.perThousand < 1010, `${leak.perThousand}`)
        assert.equal(stats.faults, 0)
        assert.deepEqual(fs.readdirSync(env.TMPDIR), [])
        // On a disk the record is a little late.
        const events = await until(async () => {
          const events = await eventsOf(dir)
          return events.some(event => /^retaining-path: Session: global → .* → cache: Map/.test(event)) && events
        }, 'the event of the path')
        assert.equal(events.filter(event => event.startsWith('snapshot: ')).length, 2, `${events}`)
        await until(async () => {
          const { stdout } = await cli.plimsoll(['show', dir], { LC_ALL: 'C.UTF-8' })
          const text = stdout.replace(/\s+/g, ' ')
          return /Session: global → module __test__.apps.leaking.users\.js → cache: Map → /.test(text)
        }, 'show has the path')
        // Reported once as a leak, once with its allocation site, once more if another route turns out to be likelier,
        // and once with its path. It is not reported again as it grows.
        const told = server.output().match(/plimsoll: leak: (?!memory outside)/g)
        assert.ok(told.length <= 4, server.output())
        assert.match(server.output(), /plimsoll: leak: cache \(a Map in .*Session objects/)
      }
    )
  }

  it('without allocation sites, the files are kept on request, and are readable like any other', linux, async t => {
    const dir = folder(t)
    const server = await leaking({ sites: false, snapshots: { dir: path.join(dir, 'snapshots'), keep: true } })
    const { leak } = await drive(server, leak => leak.class !== null)
    checkPath(leak)
    assert.deepEqual([leak.route, leak.origin], [null, null])
    assert.match(leak.advice, /^cache \(a Map in .*\) grows: \d+ B \(\d+ to \d+\) per request: Session objects/)
    const files = fs.readdirSync(path.join(dir, 'snapshots')).map(name => path.join(dir, 'snapshots', name))
    assert.equal(files.length, 2)
    for (const file of files) assert.equal(fs.statSync(file).mode & 0o777, 0o600)
    assert.ok(leak.advice.includes(`. Snapshots: ${files.sort()[0]}`), leak.advice)
    const { stdout } = await cli.plimsoll(['heap', 'diff', ...files], { LC_ALL: 'C.UTF-8' })
    assert.match(stdout, /^Session {2}\+[\d,]+ −0, retains/m)
    assert.match(stdout, /counted\s+by\s+class/)
    const heaps = await Promise.all(files.map(file => plimsoll.heap.open(file)))
    const { counted, classes } = await heaps[0].diff(heaps[1])
    await Promise.all(heaps.map(heap => heap.close()))
    assert.equal(counted, true)
    assert.equal(classes.find(({ name }) => name === 'Session').module, path.join(__dirname, '..', '..', USERS))
  })

  it('without snapshots, the leak is reported with its allocation site and the reason', linux, async t => {
    const dir = folder(t)
    fs.writeFileSync(path.join(dir, 'file'), '')
    const env = { PLIMSOLL_DIR: dir }
    const server = await leaking({ snapshots: { dir: path.join(dir, 'file', 'snapshots') } }, { env })
    const { leak, stats } = await drive(server, ({ origin, advice }) => origin !== null && advice.includes('not known'))
    assert.deepEqual([leak.class, leak.path, leak.perThousand], [null, null, null])
    assert.ok(SITES.includes(leak.origin), leak.origin)
    assert.match(leak.advice, /\. What retains it is not known: .*ENOTDIR/)
    assert.equal(stats.faults, 0)
    const failed = () => eventsOf(dir).then(events => events.filter(event => /^retaining-path: .*ENOTDIR/.test(event)))
    await until(async () => (await failed()).length === 1, 'the event of the failure')
    const { lastSeen } = leak
    await drive(server, leak => leak.lastSeen > lastSeen)
    assert.equal((await failed()).length, 1, 'not tried again soon')
  })

  it('nothing is taken where it is switched off', linux, async t => {
    const dir = folder(t)
    const server = await leaking({ sites: false, snapshots: false }, { env: { PLIMSOLL_DIR: dir } })
    const { leak } = await drive(server, ({ count }) => count > 2)
    assert.deepEqual([leak.class, leak.path], [null, null])
    assert.match(leak.advice, /\. Find what retains it: two plimsoll\.snapshot\(\) and npx plimsoll heap diff/)
    assert.deepEqual(
      (await eventsOf(dir)).filter(event => /^(snapshot|retaining-path|allocation-sites): /.test(event)),
      []
    )
  })
})

it('what `snapshots` takes is checked', () => {
  for (const snapshots of [null, 1, 'on', [], { dir: 1 }, { dir: '' }, { keep: 'yes' }, { folder: '/tmp' }]) {
    assert.throws(() => plimsoll({ leaks: { snapshots } }), {
      name: 'TypeError',
      message: /plimsoll\(\)'s leaks\.snapshots/
    })
  }
  assert.throws(() => plimsoll({ leaks: { trend: false, snapshots: true } }), {
    name: 'TypeError',
    message: /leaks\.snapshots takes false if trend is false/
  })
})
