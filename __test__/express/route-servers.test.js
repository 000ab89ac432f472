'use strict'

const assert = require('node:assert/strict')
const { test, describe } = require('node:test')
const connect = require('connect')
const { seen: internalErrors } = require('../../lib/core/internal-errors')
const { UNMATCHED, current, predict } = require('../../lib/express/route-tracker')
const { versions, ok, pass, later, fail, tracker, listen, until } = require('../support/routes')

for (const { version, express } of versions) {
  describe(`Express ${version}: inside other servers`, () => {
    test('an app within plain http, observed before it, is labelled from the second request on', async t => {
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

test('under plain http everything is unmatched and nothing throws', async t => {
  const { track, ended } = tracker()
  const guesses = []
  const before = internalErrors.count
  const { fetch } = await listen(t, (req, res) => {
    guesses.push(predict(req), current(req))
    track(req, res, () => ok(req, res))
    guesses.push(predict(req), current(req))
  })
  assert.equal((await fetch('/users/42')).body, 'ok')
  await until(() => ended.length === 1)
  assert.equal(ended[0], UNMATCHED)
  assert.deepEqual(new Set(guesses), new Set([UNMATCHED]))
  assert.equal(internalErrors.count, before)
})

/** Checks the labels of paths, or of [method, path], one after the other. */
async function expectLabels(t, handler, ended, expected) {
  const before = internalErrors.count
  const { fetch } = await listen(t, handler)
  for (const [request, label] of expected) {
    const [method, path] = [request].flat().length === 2 ? request : ['GET', request]
    ended.length = 0
    await fetch(path, method)
    await until(() => ended.length === 1)
    assert.equal(ended[0].label, label, `${method} ${path}`)
  }
  assert.equal(internalErrors.count, before, internalErrors.last)
}

test("connect's mounts are labelled, whatever the client's case, and what no mount took is unmatched", async t => {
  const { track, ended } = tracker()
  const app = connect().use(track).use('/users', ok).use('/passes', pass).use('/slow', later)
  app.use('/api', connect().use('/v1', connect().use('/orders', ok))).use('/fails', fail)
  await expectLabels(t, app, ended, [
    ['/users', '/users'],
    ['/users/42?q=1', '/users'],
    ['/USERS/42', '/users'],
    ['/slow/1/2', '/slow'],
    ['/api/v1/orders/7', '/api/v1/orders'],
    ['/api/none', '(unmatched)'],
    ['/passes/1', '(unmatched)'],
    ['/%zz', '(unmatched)'],
    ['/', '(unmatched)']
  ])
})

test("connect's functions that answer at the root are unmatched", async t => {
  const { track, ended } = tracker()
  await expectLabels(t, connect().use(track).use(ok), ended, [['/users/42', '(unmatched)']])
})

test("tinyhttp's routes are labelled, through apps that are mounted", async t => {
  const { App } = await import('@tinyhttp/app')
  const { track, ended } = tracker()
  const orders = new App().get('/:id', ok).get('/', ok)
  const app = new App().use(track).get('/users/:id', ok).get('/health', ok).get('/from/:from/to/:to', later)
  app.get('/files/*', ok).use('/orders', orders)
  await expectLabels(t, app.attach, ended, [
    ['/users/42', '/users/:id'],
    ['/users/a%20b?q=1', '/users/:id'],
    ['/from/a/to/b', '/from/:from/to/:to'],
    ['/health', '/health'],
    ['/HEALTH', '/health'],
    ['/files/a/b/c.txt', '/files/*'],
    ['/orders/77', '/orders/:id'],
    ['/nothing', '(unmatched)'],
    ['/users/%zz', '/users/*']
  ])
})

test('what clients write makes at most 64 labels where a framework shows no pattern', async t => {
  const { App } = await import('@tinyhttp/app')
  const { track, ended } = tracker()
  const labels = new Set()
  const { fetch } = await listen(t, new App().use(track).use(ok).attach)
  const word = turn => `/${String.fromCharCode(97 + (turn % 26), 97 + Math.floor(turn / 26))}/${turn}`
  for (let turn = 0; turn < 200; turn++) await fetch(word(turn))
  await until(() => ended.length === 200)
  for (const { label } of ended) labels.add(label)
  assert.ok(labels.size <= 65 && labels.has('/*'), `${labels.size}`)
})
