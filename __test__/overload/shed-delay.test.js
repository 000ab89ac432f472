'use strict'

// `shed()` and a late event loop: one block is no overload, a loop that stays late is.

const assert = require('node:assert/strict')
const test = require('node:test')
const { start } = require('../support/child.js')
const { request, until } = require('../support/http.js')

const ONLY_DELAY = '{"shed":{"heap":false,"rss":false}}'

test('one block refuses nothing: neither requests that waited for it nor later ones', async t => {
  const server = await start('burst', { args: ['plimsoll+shed', ONLY_DELAY] })
  t.after(() => server.stop())
  for (const ms of [700, 1_100]) {
    const together = [`/block/${ms}`, ...Array(5).fill('/small')].map(path => request(server.port, path))
    for (const { status } of await Promise.all(together)) assert.equal(status, 200)
    for (let i = 0; i < 50; i++) assert.equal((await request(server.port, '/small')).status, 200)
    // The loop must be punctual in between: blocks of a healthy server are this far apart.
    const { eventLoop } = await server.ask('stats')
    await until(async () => (await server.ask('stats')).eventLoop.lastTick > eventLoop.lastTick, 'the next tick')
  }
  assert.equal((await server.ask('stats')).requests.shed, 0)
})

test('a loop that stays late refuses, is not ready, and admits all again when the load is over', async t => {
  const server = await start('burst', { args: ['plimsoll+shed', ONLY_DELAY] })
  t.after(() => server.stop())
  let over = false
  t.after(() => {
    over = true
  })
  const clients = Array.from({ length: 6 }, async () => {
    while (!over) if ((await request(server.port, '/block/300')).status === 503) over = true
  })
  await Promise.race([Promise.all(clients), until(() => over, 'a refusal', 60_000)])
  await Promise.all(clients)
  assert.ok((await server.ask('stats')).requests.shed > 0)
  await until(async () => (await request(server.port, '/readyz')).status === 200, 'it is ready')
  for (let i = 0; i < 20; i++) assert.equal((await request(server.port, '/small')).status, 200)
})
