'use strict'

const assert = require('node:assert/strict')
const { subscribe } = require('node:diagnostics_channel')
const { Readable } = require('node:stream')
const test = require('node:test')
const plimsoll = require('../..')
const { plimsoll: command } = require('../support/cli.js')
const { request, serve, until } = require('../support/http.js')

const MB = 2 ** 20
const published = []
subscribe('plimsoll:finding', finding => published.push(finding))

/** Findings of a route. */
function findings(route) {
  return plimsoll.stats().findings.filter(finding => finding.route === route)
}

for (const [version, express] of [
  ['4', require('express4')],
  ['5', require('express')]
]) {
  test(`large responses in one piece are found, once a route, with the place that sends them (Express ${version})`, async t => {
    const app = express()
    app.use(plimsoll({ largeResponses: true }))
    const at = name => `/v${version}/${name}`
    app.get(at('json/:id'), (_req, res) => res.json({ text: 'x'.repeat(2 * MB) }))
    app.get(at('send'), (_req, res) => res.send(Buffer.alloc(3 * MB)))
    app.get(at('end'), async (_req, res) => {
      await null
      res.end('y'.repeat(2 * MB))
    })
    app.get(at('write'), (_req, res) => {
      res.write(Buffer.alloc(2 * MB))
      res.end()
    })
    // No frame of these is on the stack when the response is sent.
    const large = () => Promise.resolve({ text: 'x'.repeat(2 * MB) })
    const controller = {
      show(_req, res) {
        large().then(res.json.bind(res))
      }
    }
    app.get(at('promised/:id'), function promised(_req, res) {
      large().then(res.json.bind(res))
    })
    app.get(at('controller'), controller.show.bind(controller))
    app.use(at('mounted'), function mounted(_req, res, next) {
      large().then(res.json.bind(res), next)
    })
    app.get(at('small'), (_req, res) => res.send('x'.repeat(MB / 2)))
    app.get(at('stream'), (_req, res) => {
      Readable.from(Array.from({ length: 64 }, () => Buffer.alloc(65_536))).pipe(res)
    })
    const { port, close } = await serve(app)
    t.after(close)
    for (const name of ['json/1', 'json/2', 'json/3', 'send', 'end', 'write', 'small', 'stream'])
      assert.equal((await request(port, at(name))).status, 200)
    await request(port, at('send'), { method: 'HEAD' })
    await until(() => plimsoll.stats().requests.inFlight === 0, 'no request in flight')

    for (const [name, count, size] of [
      ['json/:id', 3, '2.0 MiB'],
      ['send', 1, '3.0 MiB'],
      ['end', 1, '2.0 MiB'],
      ['write', 1, '2.0 MiB']
    ]) {
      const route = `GET ${at(name)}`
      const found = findings(route)
      assert.equal(found.length, 1, `${route}: ${JSON.stringify(found)}`)
      const [{ kind, origin, advice, severity, firstSeen, lastSeen }] = found
      assert.equal(found[0].count, count, route)
      assert.equal(kind, 'large-response')
      assert.equal(severity, 'warning')
      assert.match(origin, /^__test__[/\\]leaks[/\\]large-responses\.test\.js:\d+:\d+( \(express4?\))?$/)
      assert.ok(advice.includes(size) && advice.includes('Stream it'), advice)
      assert.ok(firstSeen > 0 && firstSeen <= lastSeen)
      assert.equal(published.filter(finding => finding.route === route).length, 1, 'who listens hears of it once')
    }
    for (const [name, functionName] of [
      ['promised/:id', 'promised'],
      ['controller', 'show'],
      ['mounted', 'mounted']
    ]) {
      await request(port, at(name.replace(':id', '1')))
      const [{ origin }] = findings(`GET ${at(name)}`)
      assert.match(
        origin,
        new RegExp(`^__test__[/\\\\]leaks[/\\\\]large-responses\\.test\\.js:\\d+ \\(function ${functionName}\\)$`),
        name
      )
    }
    for (const name of ['small', 'stream']) assert.deepEqual(findings(`GET ${at(name)}`), [])

    const { stdout } = await command(['show', plimsoll.stats().recorder.path])
    assert.match(stdout, new RegExp(`large-response.*GET /v${version}/json/:id`, 's'))
    assert.match(await plimsoll.metrics.text(), /^plimsoll_findings\{kind="large-response",severity="warning"\} \d+$/m)
  })
}

test('what largeResponses takes is checked', () => {
  for (const largeResponses of ['yes', 1, { over: '10m' }, { over: -1 }, { size: '1mb' }]) {
    assert.throws(() => plimsoll({ largeResponses }), { name: 'TypeError', message: /plimsoll\(\)'s largeResponses/ })
  }
  for (const largeResponses of [true, false, { over: '5mb' }, {}])
    assert.equal(typeof plimsoll({ largeResponses }), 'function')
})
