'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')
const { start } = require('./support/child.js')
const { connect, until } = require('./support/http.js')

const WARM_UP = 10_000
const REQUESTS = process.env.PLIMSOLL_SLOW ? 200_000 : 60_000
/** Bare runs differ by 365 KiB among themselves; a number kept for each request would be 480 KB or more. */
const NOISE = 400 << 10

/** Sends requests in pipelined bursts on one connection. */
async function drive(port, count) {
  const burst = 50
  const { socket } = await connect(port)
  const text = 'GET /users/1 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(burst)
  let answered = 0
  socket.on('data', chunk => {
    answered += chunk.toString('latin1').split('HTTP/1.1 200').length - 1
  })
  for (let sent = 0; sent < count; sent += burst) {
    socket.write(text)
    await until(() => answered >= sent + burst - 0.5, `${sent + burst} answers`, 60_000)
  }
  socket.destroy()
}

test('keeps nothing per request on the JS heap, and no more with all watchers on', async t => {
  const growth = {}
  for (const kind of ['bare', 'plimsoll', 'watched']) {
    const server = await start('growth', { args: [kind], execArgv: ['--expose-gc'] })
    t.after(() => server.stop())
    await drive(server.port, WARM_UP)
    const before = (await server.ask('gc')).heapUsed
    await drive(server.port, REQUESTS)
    growth[kind] = (await server.ask('gc')).heapUsed - before
    if (kind === 'watched') assert.deepEqual((await server.ask('stats')).findings, [])
  }
  t.diagnostic(`over ${REQUESTS} requests: ${JSON.stringify(growth)} bytes`)
  for (const kind of ['plimsoll', 'watched'])
    assert.ok(growth[kind] - Math.max(0, growth.bare) < NOISE, JSON.stringify(growth))
})
