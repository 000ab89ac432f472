'use strict'

const assert = require('node:assert/strict')
const { test, describe } = require('node:test')
const connect = require('connect')
const { seen: faults } = require('../lib/faults')
const { UNMATCHED, current, predict } = require('../lib/route')
const { versions, ok, tracker, listen, until } = require('./support/routes')

for (const { version, express } of versions) {
  describe(`Express ${version}: inside other servers`, () => {
    test('an app behind plain http, observed before it, is labelled from the second request on', async t => {
      const { track, ended } = tracker()
      const app = express().use('/api', express.Router().get('/users/:id', ok))
      const { fetch } = await listen(t, (req, res) => track(req, res, () => app(req, res)))
      for (let turn = 0; turn < 2; turn++) await fetch('/api/users/1')
      await until(() => ended.length === 2)
      assert.equal(ended[1].label, '/api/users/:id')
    })

    test('an app under connect is labelled from its own root', async t => {
      const { track, ended } = tracker()
      const app = express().use(track).get('/users/:id', ok)
      const { fetch } = await listen(t, connect().use('/v1', app))
      await fetch('/v1/users/1')
      await until(() => ended.length === 1)
      assert.equal(ended[0].label, '/users/:id')
    })

    test('connect under an app is labelled by its mount', async t => {
      const { track, ended } = tracker()
      const app = express()
      app.use(track).use('/legacy/:l', connect().use('/users', ok))
      const { fetch } = await listen(t, app)
      await fetch('/legacy/1/users/1')
      await until(() => ended.length === 1)
      assert.equal(ended[0].label, '/legacy/:l')
    })
  })
}

for (const [name, wrap] of [
  ['plain http', track => (req, res) => track(req, res, () => ok(req, res))],
  ['connect', track => connect().use(track).use('/users', ok)]
]) {
  test(`under ${name} everything is unmatched and nothing throws`, async t => {
    const { track, ended } = tracker()
    const guesses = []
    const before = faults.count
    const { fetch } = await listen(
      t,
      wrap((req, res, next) => {
        guesses.push(predict(req), current(req))
        track(req, res, next)
        guesses.push(predict(req), current(req))
      })
    )
    assert.equal((await fetch('/users/42')).body, 'ok')
    await until(() => ended.length === 1)
    assert.equal(ended[0], UNMATCHED)
    assert.deepEqual(new Set(guesses), new Set([UNMATCHED]))
    assert.equal(faults.count, before)
  })
}
