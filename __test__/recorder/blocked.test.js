'use strict'

// Which line blocks the event loop: a real server, and the record after it was killed.

const assert = require('node:assert/strict')
const test = require('node:test')
const { start } = require('../support/child.js')
const { folder, show } = require('../support/cli.js')
const { request, until } = require('../support/http.js')
const { nodes } = require('../support/nodes.js')

for (const node of nodes) {
  test(`names the line that blocks the loop, also after kill -9 (Node ${node.version})`, async t => {
    const dir = folder(t)
    const server = await start('blocked', { node: node.path, env: { PLIMSOLL_DIR: dir, PLIMSOLL_PROBE: '' } })
    t.after(() => server.stop())
    const lines = await server.ask('lines')
    assert.equal((await request(server.port, '/spin/3000')).status, 200)
    const [message] = await until(async () => {
      const messages = await server.ask('messages')
      return messages.length > 0 && messages
    }, 'the message')
    assert.equal(message.function, 'spin')
    assert.match(message.origin, new RegExp(`apps/blocked\\.js:${lines.spin}:\\d+$`))
    assert.equal(message.native, false)

    // It takes for ever.
    request(server.port, '/match/60').catch(() => {})
    await until(async () => (await show(dir))[0].eventLoop.blockedBy?.function === 'match', 'the record has the line')
    server.kill('SIGKILL')
    await server.exited
    const [{ events, eventLoop }] = await show(dir)
    assert.match(eventLoop.blockedBy.origin, new RegExp(`apps/blocked\\.js:${lines.match}:\\d+$`))
    assert.ok(events.some(({ type, detail }) => type === 'blocked' && /blocked in match \(/.test(detail)))
  })
}

test('PLIMSOLL_PROBE=off captures no stack', async t => {
  const server = await start('blocked', { env: { PLIMSOLL_PROBE: 'off' } })
  t.after(() => server.stop())
  assert.equal((await request(server.port, '/spin/3000')).status, 200)
  const [message] = await until(async () => {
    const messages = await server.ask('messages')
    return messages.length > 0 && messages
  }, 'the message')
  assert.deepEqual([message.route, message.function, message.origin, message.stack], ['/spin/:ms', null, null, []])
})
