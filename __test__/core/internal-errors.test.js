'use strict'

// A failure within Plimsoll, outside of the requests, does not end the server.

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const path = require('node:path')
const test = require('node:test')
const internalErrors = require('../../lib/core/internal-errors.js')
const { start } = require('../support/child.js')
const { connect, request, until } = require('../support/http.js')
const { chunk } = require('../support/uploads.js')

const CHUNKED = path => `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`

async function send(t, { port }, path, pieces) {
  const client = await connect(port)
  t.after(() => client.socket.destroy())
  client.socket.write(Buffer.concat([Buffer.from(CHUNKED(path)), ...pieces.map(piece => chunk(piece))]))
  return client
}

async function slowly(server, t) {
  await send(t, server, '/slow', ['x'])
  await until(async () => (await server.ask('stats')).requests.inFlight === 1, 'it has come')
  await server.ask('break')
}

/** Native function -> where it runs, how often it must have failed, and what makes it run if the ticks do not. */
const CASES = {
  tick: ['at each tick', 2],
  serve: ['when the process is found to be a server', 1],
  announcements: ['at each tick', 2],
  late: ['while the event loop is late', 2],
  event: ['at an uncaught exception', 1, server => server.ask('throwOne')],
  recordStops: ['when a signal loses its handler', 1, server => server.ask('removeHandler')],
  collected: ['at a collection without the probe', 1, server => server.ask('collect'), { PLIMSOLL_PROBE: 'off' }],
  tapReceived: ['when the rate of a body is measured', 2, slowly, { LATER: '1' }],
  enter: ['when a request arrives', 1, server => request(server.port, '/')],
  level: ['when the pressure is read', 1, server => request(server.port, '/')],
  settle: ['when a request has run', 1, server => request(server.port, '/')]
}

for (const [name, [when, times, provoke, env]] of Object.entries(CASES)) {
  test(`a server survives a native function that fails ${when} (${name}), and reports it once`, async t => {
    const server = await start('broken', { env: { BREAK: name, ...env }, execArgv: ['--expose-gc'] })
    t.after(() => server.stop())
    await provoke?.(server, t)
    await until(async () => (await server.ask('calls')) >= times, 'it has failed')
    assert.equal((await request(server.port, '/')).body, 'served')
    const calls = await server.ask('calls')
    const { internalErrors, warnings } = await server.ask('seen')
    assert.ok(internalErrors >= Math.min(times, calls), `${internalErrors} internal errors`)
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['PLIMSOLL_FAULT']
    )
    assert.match(warnings[0].message, /Error: a panic/)
  })
}

test('a refused client is answered and its connection closed if the kernel cannot discard', async t => {
  const server = await start('broken', { env: { BREAK: 'discard' } })
  t.after(() => server.stop())
  const clients = await Promise.all(Array.from({ length: 3 }, () => send(t, server, '/large', ['x'.repeat(2000)])))
  for (const { received, socket } of clients) {
    await until(() => received().startsWith('HTTP/1.1 413'), 'it is answered')
    await until(() => socket.destroyed || socket.readableEnded, 'it is closed')
  }
  assert.equal((await request(server.port, '/')).body, 'served')
})

test('a process whose record cannot be finished ends as it would, with the listeners of the app', () => {
  const program = `
    const plimsoll = require(${JSON.stringify(path.join(__dirname, '..', '..'))})
    plimsoll({ recorder: false })
    require(${JSON.stringify(path.join(__dirname, '../../lib/core/addon.js'))}).native.finish = () => { throw new Error('a panic') }
    process.on('exit', code => console.log('ended with', code))`
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' })
  assert.deepEqual([status, stdout, stderr], [0, 'ended with 0\n', ''])
})

test('an internal error is counted even if the addon cannot count it', async t => {
  const server = await start('broken', { env: { BREAK: 'fault' } })
  t.after(() => server.stop())
  assert.equal((await request(server.port, '/')).body, 'served')
  assert.equal(await server.ask('report'), 1)
})

test('a guarded function passes its arguments and its result on', () => {
  assert.equal(internalErrors.guarded('in a test', (a, b) => a + b)(1, 2), 3)
  const before = internalErrors.seen.count
  const fail = internalErrors.guarded('in a test that fails', () => {
    throw Object.create(null)
  })
  assert.equal(fail(), undefined)
  assert.equal(internalErrors.seen.count, before + 1)
})
