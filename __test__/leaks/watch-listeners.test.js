'use strict'

// What `watchListeners` reports and does not report, in addition to the apps of the corpus.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { EventEmitter, once } = require('node:events')
const http = require('node:http')
const http2 = require('node:http2')
const test = require('node:test')
const express = require('express')
const plimsoll = require('../..')
const { request, serve, until } = require('../support/http.js')

const said = []
const log = { info() {}, warn: line => said.push(line), error: line => said.push(line) }
const busy = new EventEmitter()
const quiet = new EventEmitter()
const target = new EventTarget()

const app = express()
app.use(plimsoll({ recorder: false, log }))
plimsoll.watchListeners({ busy, quiet, target })
app.get('/busy/:id', (_req, res) => {
  busy.on('data', () => res.locals) // first
  if (_req.params.id % 3 === 0) busy.prependListener('data', () => res.locals) // second
  res.end()
})
app.get('/target', (_req, res) => {
  target.addEventListener('change', () => res.locals) // target
  res.end()
})
app.get('/same', (req, res) => {
  const listen = () => req.url
  quiet.on('a', listen)
  quiet.once('a', listen)
  quiet.off('a', listen)
  quiet.removeAllListeners('a')
  quiet.once('b', listen)
  quiet.emit('b')
  const event = new Event('b')
  target.addEventListener('b', listen)
  target.addEventListener('b', listen)
  target.removeEventListener('b', listen)
  target.dispatchEvent(event)
  const object = { handleEvent: listen }
  target.addEventListener('c', object)
  target.removeEventListener('c', object)
  target.addEventListener('c', null)
  res.end()
})

const lines = require('node:fs').readFileSync(__filename, 'utf8').split('\n')
const at = wanted =>
  `__test__/leaks/watch-listeners.test.js:${lines.findIndex(line => line.endsWith(`// ${wanted}`)) + 1}:`
const listeners = () => plimsoll.stats().findings.filter(({ kind }) => kind === 'listener')

async function served(t) {
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

test("Node's warning is joined with all places, not the eleventh's", async t => {
  const { port } = await served(t)
  for (let id = 0; id < 12; id++) await request(port, `/busy/${id}`)
  const finding = await until(() => listeners().find(({ route }) => route === 'GET /busy/:id'), 'the finding')
  assert.match(finding.advice, /'data' on busy: \d at .*, \d at /)
  for (const place of ['first', 'second']) assert.ok(finding.advice.includes(at(place)), finding.advice)
  assert.ok(finding.origin.startsWith(at('first')), finding.origin)
})

test('of a warning about listeners that no request has added, the places are a line of the log', async () => {
  for (let i = 0; i < 11; i++) quiet.on('deliberate', () => i) // deliberate
  const line = await until(() => said.find(line => line.includes("'deliberate' on quiet")), 'the line')
  assert.ok(line.includes(`11 at ${at('deliberate')}`), line)
  assert.deepEqual(
    listeners().filter(({ origin }) => origin.startsWith(at('deliberate'))),
    []
  )
})

test('listeners of an event target grow as those of an emitter', async t => {
  const { port } = await served(t)
  for (let i = 0; i < 100; i++) await request(port, '/target')
  const finding = await until(() => listeners().find(({ route }) => route === 'GET /target'), 'the finding')
  assert.ok(finding.origin.startsWith(at('target')), finding.origin)
  assert.ok(finding.perThousand > 900 && finding.perThousand <= 1000, `${finding.perThousand}`)
})

test('after plimsoll() requests over HTTP/2 are watched as well', async t => {
  const tracked = plimsoll()
  const handler = (req, res) =>
    tracked(req, res, async () => {
      await null
      quiet.on('http2', () => req.url) // http2
      res.end()
    })
  const server = http2.createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`)
  t.after(() => {
    client.destroy()
    server.close()
  })
  for (let i = 0; i < 70; i++) await once(client.request({ ':path': '/' }).resume(), 'close')
  const finding = await until(() => listeners().find(({ origin }) => origin.startsWith(at('http2'))), 'the finding')
  assert.ok(finding.count >= 60)
})

test('what comes and goes in whatever way is nothing', async t => {
  const { port } = await served(t)
  for (let i = 0; i < 200; i++) await request(port, '/same')
  assert.deepEqual(
    listeners().filter(({ route }) => route === 'GET /same'),
    []
  )
  assert.deepEqual([quiet.listenerCount('a'), quiet.listenerCount('b')], [0, 0])
  assert.equal(plimsoll.stats().faults, 0)
})

test('clients that come with a connection each leave nothing on theirs', async t => {
  const app = express()
  app.get('/own', (req, res) => {
    req.socket.on('timeout', () => res.locals)
    req.socket.on('timeout', () => res.locals)
    res.end()
  })
  const { port, close } = await serve(app)
  t.after(close)
  const agents = []
  for (let i = 0; i < 120; i++) {
    const agent = new http.Agent({ keepAlive: true })
    agents.push(agent)
    await request(port, '/own', { agent })
    if (i % 4 !== 0) agent.destroy()
  }
  assert.deepEqual(
    listeners().filter(({ route }) => route === 'GET /own'),
    []
  )
  for (const agent of agents) agent.destroy()
})

test('what has no listeners is a TypeError that says what is taken', () => {
  for (const value of [null, 7, 'bus', [1], { bus: {} }, [quiet, {}]]) {
    assert.throws(() => plimsoll.watchListeners(value), {
      name: 'TypeError',
      message:
        /watchListeners\(\) takes an EventEmitter or EventTarget, an array of these, or an object of these by name; got/
    })
  }
})
