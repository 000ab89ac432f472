'use strict'

/*
 * An app of a framework, run bare and with Plimsoll before it: the same requests must have the same responses, byte for
 * byte.
 */

const assert = require('node:assert/strict')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { once } = require('node:events')
const { after, before, describe, test } = require('node:test')
const { start } = require('./child.js')
const { pipelined, request, until } = require('./http.js')

const TRACKED = ['readme', 'all']

/**
 * `app` is `__test__/apps/frameworks/<app>.js`, and `requests` are `[method, path, { headers, body }]`. `load` is the
 * path that is requested a thousand times. `labels` are all labels that the table of routes has after that. `tooLarge`
 * is how the framework responds to a JSON body over the limit at a path.
 */
function framework(app, { requests, load, tooLarge, labels }) {
  describe(app, { timeout: 300_000 }, () => {
    const apps = {}
    let dir

    before(async () => {
      dir = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-frameworks-'))
      const starting = ['bare', ...TRACKED].map(async front => {
        const env = { NODE_ENV: 'production', PLIMSOLL_DIR: dir, PLIMSOLL_NAME: `${app}-${front}` }
        apps[front] = await start(`frameworks/${app}`, { args: [front], env })
      })
      await Promise.all(starting)
    })

    after(async () => {
      await Promise.all(Object.values(apps).map(each => each.stop()))
      fs.rmSync(dir, { recursive: true })
    })

    test('answers as it does without Plimsoll, byte for byte', async () => {
      for (const each of requests) {
        const bare = await answer(apps.bare.port, ...each)
        assert.match(bare, /^HTTP\/1\.1 \d/)
        for (const front of TRACKED) assert.equal(await answer(apps[front].port, ...each), bare, `${front}: ${each}`)
      }
    })

    for (const front of TRACKED) {
      test(`counts each request and reports nothing: ${front}`, async () => {
        const { port, ask, output } = apps[front]
        const total = (await ask('stats')).requests.total + 1000
        // A burst runs in one tick. With many requests on a busy machine it is long enough for shed() to refuse some.
        await pipelined(port, load, 1000, 10)
        const stats = await until(async () => {
          const now = await ask('stats')
          return now.requests.inFlight === 0 && now
        }, 'all requests have ended')
        assert.equal(stats.requests.total, total)
        assert.equal(stats.requests.shed, 0)
        assert.equal(stats.faults ?? 0, 0)
        // V8's limit and the container's depend on the machine of the test.
        assert.deepEqual(
          stats.findings.filter(({ kind }) => kind !== 'heap-limit'),
          []
        )
        const metrics = await request(port, '/metrics')
        assert.equal(metrics.status, 200)
        assert.match(metrics.body, /^# HELP plimsoll_/m)
        assert.equal(output(), '')
      })

      test(`passes the error of plimsoll.limit() to the framework's own error handler: ${front}`, async () => {
        const answered = await request(apps[front].port, tooLarge.path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ text: 'a'.repeat(20_000) })
        })
        assert.equal(answered.status, tooLarge.status ?? 413)
        assert.match(answered.body, tooLarge.body)
      })
    }

    for (const front of TRACKED) {
      test(`labels requests by the framework's routes: ${front}`, async () => {
        const { routes } = await apps[front].ask('stats')
        assert.deepEqual([...new Set(routes.map(({ method, route }) => `${method} ${route}`))].sort(), labels.sort())
      })
    }

    test('ends by itself when its server is closed', async () => {
      for (const [front, { ask, exited, output }] of Object.entries(apps)) {
        await ask('end')
        assert.deepEqual({ front, ...(await exited) }, { front, code: 0, signal: null })
        assert.doesNotMatch(output(), /Warning|plimsoll:/)
      }
    })
  })
}

/** The whole response to a request on a connection of its own, without the `Date` header. */
async function answer(port, method, path, { headers = {}, body = '', host = '127.0.0.1' } = {}) {
  const socket = net.connect({ port, host })
  const lines = Object.entries({ ...(body === '' ? {} : { 'content-length': Buffer.byteLength(body) }), ...headers })
  socket.write(
    `${method} ${path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`
  )
  const chunks = []
  socket.on('data', chunk => chunks.push(chunk))
  await once(socket, 'close')
  return Buffer.concat(chunks)
    .toString('latin1')
    .replace(/^Date: .*$/m, 'Date: now')
}

module.exports = { answer, framework }
