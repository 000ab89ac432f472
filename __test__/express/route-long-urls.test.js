'use strict'

// The label of a URL of 16 KB, the longest that Node accepts, is found in a few milliseconds, for any content of the
// URL.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const connect = require('connect')
const { current, observe } = require('../../lib/express/route-tracker')
const { begin } = require('../../lib/request/lifecycle')
const { listen, ok, until, versions } = require('../support/routes')

const MOST_MS = 100
const TARGETS = {
  slashes: `${'/'.repeat(15_000)}x`,
  'slashes at the end': `/files${'/'.repeat(15_000)}`,
  segments: `/files${'/a'.repeat(7500)}`,
  'one segment': `/files/${'a'.repeat(15_000)}`,
  'percent signs': `/files/${'%'.repeat(15_000)}`,
  'encoded slashes': `/files/${'%2f'.repeat(5000)}`
}

function cpuMs(work) {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** Observes requests: the label of each, and the processor time of finding it. */
function watcher() {
  const ended = []
  function watch(req, res, next) {
    let ms = cpuMs(() => observe(begin(req, res), () => {}))
    res.once('close', () => {
      let label
      ms += cpuMs(() => {
        label = current(req).label
      })
      ended.push({ label, ms })
    })
    ms += cpuMs(next)
  }
  return { watch, ended }
}

async function expectFast(t, handler, ended) {
  const { fetch } = await listen(t, handler)
  for (const [name, target] of Object.entries(TARGETS)) {
    ended.length = 0
    // The lowest of three: another process may have filled the processor's caches.
    for (let times = 0; times < 3; times++) await fetch(target)
    await until(() => ended.length === 3)
    const least = Math.min(...ended.map(({ ms }) => ms))
    assert.ok(least < MOST_MS, `${name}: ${least} ms for ${ended[0].label}`)
    for (const { label } of ended) assert.ok(label.length <= 200, label)
  }
}

test('in an app of connect that rewrites the URL to its root', async t => {
  const { watch, ended } = watcher()
  const app = connect()
    .use(watch)
    .use((req, res) => {
      req.url = '/'
      res.end('ok')
    })
  await expectFast(t, app, ended)
})

for (const { version, express } of versions) {
  test(`Express ${version}: in a router, below a mount and in a route for everything`, async t => {
    const { watch, ended } = watcher()
    const app = express().set('env', 'test').use(watch)
    app.use('/files', express.Router().get('/:id', ok))
    app.get(version === 4 ? '/*' : '/*rest', ok)
    await expectFast(t, app, ended)
  })
}

// The router before 2.3, whose patterns are determined from the first path that they match.
test('Express 5 whose router does not keep the path of a mount: the first URL of 16 KB shows its pattern', async t => {
  const { express } = versions.find(({ version }) => version === 5)
  const slowest = []
  for (const [name, target] of Object.entries(TARGETS)) {
    const { watch, ended } = watcher()
    const app = express().set('env', 'test').use(watch).use('/*rest', ok)
    for (const layer of app.router.stack) delete layer.rawPath
    const { fetch } = await listen(t, app)
    await fetch(target)
    await until(() => ended.length === 1)
    slowest.push({ name, ...ended[0] })
  }
  for (const { name, ms, label } of slowest) {
    // Express itself throws for a path that cannot be decoded.
    assert.equal(label, name === 'percent signs' ? '(unmatched)' : '/*rest', name)
    assert.ok(ms < 5 * MOST_MS, `${name}: ${ms} ms`)
  }
})
