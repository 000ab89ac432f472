'use strict'

// What `plimsoll({ watch })` and `expectCollected` promise in addition to the apps of the corpus: they retain nothing,
// and report nothing that is not true.

const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const plimsoll = require('../..')
const { start } = require('../support/child.js')
const { request, until } = require('../support/http.js')
const { need, nodes } = require('../support/nodes.js')

async function watched(t, options) {
  const server = await start('watched', { execArgv: ['--expose-gc'], ...options })
  t.after(() => server.stop())
  return server
}

for (const version of [20, 22, 24, 26]) {
  test(`no watcher keeps alive what it watches (Node ${version})`, async t => {
    const found = version === Number.parseInt(process.versions.node, 10) ? nodes : need(t, [version])
    if (!found) return
    const node = found.find(each => Number.parseInt(each.version, 10) === version)
    if (node === undefined) return t.skip(`no Node ${version}`)
    const server = await watched(t, { node: node.path })
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
    for (const path of ['/clean', '/left']) {
      await Promise.all(Array.from({ length: 200 }, () => request(server.port, path, { agent })))
    }
    agent.destroy()
    let seen
    await until(async () => {
      seen = await server.ask('alive')
      return seen.alive === 0
    }, 'nothing alive').catch(error => assert.fail(`${error.message}: ${JSON.stringify(seen)}`))
    assert.ok(seen.made > 2000, `${seen.made}`)
    const { findings, faults: internalErrors } = await server.ask('stats')
    assert.equal(internalErrors, 0)
    const kinds = new Set(findings.map(({ kind, route }) => `${kind} ${route}`))
    for (const kind of ['unclosed', 'listener', 'timer']) assert.ok(kinds.has(`${kind} GET /left`), [...kinds].join())
    for (const each of kinds) assert.ok(!each.endsWith('/clean'), each)
  })
}

test('what is retained for a while is no finding, or is withdrawn; what is retained forever stays', async t => {
  const server = await start('held', { execArgv: ['--expose-gc'] })
  t.after(() => server.stop())
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const paths = ['/soon', '/late', '/forever']
  let sent = 0
  const messages = await until(
    async () => {
      for (const path of paths) await request(server.port, path, { agent })
      sent += 1
      if (sent % 10 > 0) return false
      await server.ask('gc')
      const messages = await server.ask('messages')
      const isOver = messages.some(({ withdrawnAt }) => withdrawnAt !== null)
      return isOver && messages.some(({ route }) => route === 'GET /forever') && messages
    },
    'both findings, and the end of one',
    120_000
  )
  const told = route => messages.filter(message => message.route === `GET ${route}`)
  assert.deepEqual(told('/soon'), [])
  assert.equal(told('/forever').length, 1)
  assert.equal(told('/forever')[0].severity, 'warning')
  const [found, withdrawn] = told('/late')
  assert.equal(told('/late').length, 2)
  assert.match(
    found.advice,
    /^requests are alive after their end: of \d+ sampled requests, \d+ are alive, the oldest for \d+ s/
  )
  assert.equal(withdrawn.severity, 'info')
  assert.match(withdrawn.advice, /for up to 3\d s, and were released then/)
  const { findings } = await server.ask('stats')
  const standing = findings.filter(({ kind, withdrawnAt }) => kind === 'retained' && withdrawnAt === null)
  assert.deepEqual(
    standing.map(({ route }) => route),
    ['GET /forever']
  )
})

test('what was expected to be gone and is not is found, with its label and the place of the call', async t => {
  const server = await watched(t)
  await request(server.port, '/expected')
  const [finding, ...others] = await until(
    async () => {
      await server.ask('gc')
      const { findings } = await server.ask('stats')
      const found = findings.filter(({ kind }) => kind === 'retained')
      return found.length > 0 && found
    },
    'the finding',
    30_000
  )
  assert.deepEqual(others, [])
  assert.match(
    finding.advice,
    /^what is held was expected to be collected, but is alive after two major collections and \d+ s/
  )
  assert.match(finding.origin, /^__test__[/\\]apps[/\\]watched\.js:\d+:\d+$/)
})

test('what expectCollected and watch take is checked', () => {
  assert.throws(() => plimsoll.expectCollected('text', 'a text'), {
    name: 'TypeError',
    message: /expectCollected\(\)'s object/
  })
  assert.throws(() => plimsoll.expectCollected({}), { name: 'TypeError', message: /expectCollected\(\)'s label/ })
  for (const watch of ['all', 1, { sockets: true }, { timers: 'yes' }, { largeProperties: '1m' }, { retained: 5 }]) {
    assert.throws(() => plimsoll({ watch }), { name: 'TypeError', message: /plimsoll\(\)'s watch/ })
  }
})
