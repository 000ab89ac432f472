'use strict'

const assert = require('node:assert/strict')
const { AsyncLocalStorage } = require('node:async_hooks')
const { execFileSync, spawnSync } = require('node:child_process')
const http = require('node:http')
const test = require('node:test')
const v8 = require('node:v8')
const vm = require('node:vm')
const express = require('express')
const plimsoll = require('../..')
const { native } = require('../../lib/core/addon.js')
const { start } = require('../support/child.js')
const { folder } = require('../support/cli.js')
const { missing } = require('../support/nodes.js')
const { serve, request, until } = require('../support/http.js')

v8.setFlagsFromString('--expose-gc')
const collect = vm.runInNewContext('gc')

function app() {
  const app = express()
  app.use(plimsoll({ name: 'metrics-test' }))
  app.use(plimsoll.limit('1kb'))
  app.get('/metrics', plimsoll.metrics())
  app.get('/metrics/ours', plimsoll.metrics({ only: 'plimsoll' }))
  app.get('/users/:id', (_req, res) => res.json({ ok: 1 }))
  app.get('/fails', (_req, res) => res.status(503).end())
  app.post('/up', express.raw({ type: () => true }), (_req, res) => res.end())
  app.use((error, _req, res, _next) => res.status(error.status).end())
  return app
}

async function scraped(t, path = '/metrics', headers = {}) {
  const server = await serve(app())
  t.after(() => server.close())
  for (let i = 0; i < 5; i++) await request(server.port, `/users/${i}`)
  await request(server.port, '/fails')
  await request(server.port, '/up', { method: 'POST', body: 'x'.repeat(2000) })
  await until(() => plimsoll.stats().requests.inFlight === 0, 'all have ended')
  return request(server.port, path, { headers })
}

function value(text, sample) {
  const line = text.split('\n').find(line => line.startsWith(`${sample} `))
  return line === undefined ? undefined : Number(line.split(' ')[1])
}

test('answers in Prometheus text with the names that dashboards know', async t => {
  const { status, headers, body } = await scraped(t)
  assert.equal(status, 200)
  assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/)
  assert.ok(value(body, 'process_resident_memory_bytes') > 1 << 20)
  assert.ok(value(body, 'nodejs_heap_size_used_bytes') > 1 << 20)
  const labels = 'method="GET",path="/users/:id"'
  assert.ok(value(body, `http_request_duration_seconds_count{${labels},status_code="2xx"}`) >= 5)
  assert.ok(value(body, `plimsoll_http_request_heap_bytes_sum{${labels}}`) > 0)
  assert.ok(value(body, 'http_request_duration_seconds_count{method="GET",path="/fails",status_code="5xx"}') >= 1)
  assert.ok(!body.includes('/users/1'), 'no ids in labels')
})

test('answers in OpenMetrics where the scraper prefers it', async t => {
  const accept = 'application/openmetrics-text;version=1.0.0;q=0.7,text/plain;version=0.0.4;q=0.3'
  const { headers, body } = await scraped(t, '/metrics', { accept })
  assert.match(headers['content-type'], /^application\/openmetrics-text; version=1\.0\.0/)
  assert.ok(body.endsWith('# EOF\n'))
})

test("leaves prom-client's names to prom-client with the option", async t => {
  const { body } = await scraped(t, '/metrics/ours')
  const names = body.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  assert.ok(names.length > 5)
  assert.deepEqual(
    names.filter(name => !name.startsWith('plimsoll_')),
    []
  )
})

test('gives its text to an existing registry', async t => {
  await scraped(t)
  const text = await plimsoll.metrics.text({ only: 'plimsoll' })
  assert.ok(text.includes('plimsoll_http_request_heap_bytes_sum'))
  assert.ok(!text.includes('_bucket'))
  const all = await plimsoll.metrics.text({ only: 'plimsoll', histograms: 'all' })
  assert.ok(all.includes('plimsoll_http_request_heap_bytes_bucket'))
  assert.ok((await plimsoll.metrics.text({ openmetrics: true })).endsWith('# EOF\n'))
})

test('passes `promtool check metrics` while requests run', async t => {
  if (spawnSync('promtool', ['--version']).error)
    return missing(t, 'promtool is not installed (Debian package prometheus)')
  const server = await serve(app())
  t.after(() => server.close())
  let running = true
  const load = (async () => {
    for (let i = 0; running; i++) await request(server.port, `/users/${i}`)
  })()
  for (let i = 0; i < 5; i++) {
    const { body } = await request(server.port, '/metrics')
    const complaints = execFileSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8', stdio: 'pipe' })
    assert.equal(complaints, '')
  }
  running = false
  await load
})

/** In a process of its own: the record has only these routes. */
async function service(t, routes) {
  const server = await start('metrics', { env: { ROUTES: routes, PLIMSOLL_DIR: folder(t) } })
  t.after(() => server.stop())
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  for (let i = 0; i < routes; i++) {
    for (const id of ['found', 'missing']) await request(server.port, `/r${i}/${id}`, { agent })
  }
  await until(async () => (await server.ask('stats')).requests.inFlight === 0, 'all have ended')
  return server
}

test('a scrape of 150 routes is under 300 KB, and of all rows there can be under 1.2 MB', async t => {
  for (const [routes, bytes] of [
    [150, 300_000],
    [600, 1_200_000]
  ]) {
    const server = await service(t, routes)
    const { body } = await request(server.port, '/metrics')
    assert.ok(body.includes(`path="/r${Math.min(routes, 511) - 1}/:id",status_code="4xx"`), 'the routes are there')
    assert.ok(body.length < bytes, `${body.length} bytes at ${routes} routes`)
    const all = await request(server.port, '/metrics/all')
    assert.ok(all.body.length > 3 * body.length, 'all histograms are more')
    if (spawnSync('promtool', ['--version']).error) continue
    for (const input of [body, all.body, (await request(server.port, '/metrics/none')).body]) {
      assert.equal(execFileSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8', stdio: 'pipe' }), '')
    }
  }
})

test('the bounds that are allowed are those that the record counts by', async () => {
  const text = await plimsoll.metrics.text({ histograms: 'all' })
  const bounds = [...text.matchAll(/^http_request_duration_seconds_bucket\{le="([\d.]+)"/gm)].map(match =>
    Number(match[1])
  )
  const all = [...new Set(bounds)]
  assert.ok(all.length > 10)
  const chosen = await plimsoll.metrics.text({ buckets: all.toReversed?.() ?? [...all].reverse() })
  assert.ok(chosen.includes(`http_request_duration_seconds_bucket{le="${all[0]}"`))
})

test('scrapes at once share one rendering, and wait for no other', async t => {
  const calls = []
  let running = 0
  const { metrics } = native
  t.after(() => {
    native.metrics = metrics
  })
  native.metrics = async settings => {
    assert.equal(++running, 1, 'one at a time')
    calls.push(JSON.stringify(settings))
    const text = await metrics(settings)
    running--
    return text
  }
  const server = await serve(app())
  t.after(() => server.close())
  const options = [
    { scope: 'process' },
    { scope: 'process', histograms: 'none' },
    { scope: 'process', buckets: [1, 5] }
  ]
  const texts = await Promise.all(Array.from({ length: 60 }, (_, i) => plimsoll.metrics.text(options[i % 3])))
  assert.equal(calls.length, 3)
  assert.equal(new Set(texts).size, 3)
  // Handlers share with `text()`, from any factory.
  const handlers = [plimsoll.metrics(options[2]), plimsoll.metrics({ buckets: [5, 1], scope: 'process' })]
  for (const handler of handlers) {
    const scrape = await serve((req, res) => handler(req, res, assert.ifError))
    t.after(() => scrape.close())
    assert.ok((await request(scrape.port, '/')).body.includes('le="5"'))
  }
  assert.ok(calls.length <= 4, 'reused for a second, which this may have taken')
  // But not for longer.
  await until(async () => {
    await plimsoll.metrics.text(options[0])
    return calls.filter(call => call === calls[0]).length > 1
  }, 'it is rendered anew')
})

test('a rendering that fails is an error of the scrapes that waited for it, and of no later one', async t => {
  const { metrics } = native
  t.after(() => {
    native.metrics = metrics
  })
  native.metrics = async () => {
    throw new Error('no room')
  }
  const given = { scope: 'process', buckets: [60] }
  const both = await Promise.allSettled([plimsoll.metrics.text(given), plimsoll.metrics.text(given)])
  assert.deepEqual(
    both.map(({ reason }) => reason?.message),
    ['no room', 'no room']
  )
  native.metrics = metrics
  assert.match(await plimsoll.metrics.text(given), /le="60"/)
})

test('a scrape that something else has answered meanwhile is left alone, whether the rendering works or not', async t => {
  const { metrics } = native
  let release
  t.after(() => {
    native.metrics = metrics
  })
  const ends = [() => Buffer.from('text'), () => Promise.reject(new Error('no room'))]
  for (const [at, end] of ends.entries()) {
    native.metrics = () =>
      new Promise(resolve => {
        release = () => resolve(end())
      })
    const handler = plimsoll.metrics({ scope: 'process', buckets: [[0.5], [2.5]][at] })
    const passed = []
    const server = await serve((req, res) => {
      handler(req, res, error => passed.push(error))
      res.statusCode = 504
      res.end('too late')
    })
    t.after(() => server.close())
    const { status, body } = await request(server.port, '/')
    assert.deepEqual([status, body], [504, 'too late'])
    await until(() => release !== undefined, 'it is rendered')
    // An unhandled rejection would fail this test.
    release()
    release = undefined
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    assert.deepEqual(passed, [])
  }
})

test('what a response throws goes to next(), once', async t => {
  const handler = plimsoll.metrics({ scope: 'process', buckets: [5] })
  const passed = []
  const server = await serve((req, res) => {
    res.setHeader = () => {
      throw new Error('patched')
    }
    handler(req, res, error => {
      passed.push(error.message)
      res.end('an error page')
    })
  })
  t.after(() => server.close())
  assert.equal((await request(server.port, '/')).body, 'an error page')
  assert.deepEqual(passed, ['patched'])
})

test('a rendering retains nothing of the async context of its scrape', async () => {
  const storage = new AsyncLocalStorage()
  const scrape = async () => {
    const store = { room: new Array(1000) }
    await storage.run(store, () => plimsoll.metrics.text({ scope: 'process', buckets: [10] }))
    return new WeakRef(store)
  }
  const store = await scrape()
  await new Promise(resolve => setTimeout(resolve, 20))
  collect()
  assert.equal(store.deref(), undefined)
})

test('no thread of the pool is taken', async t => {
  // With one thread, which is busy.
  const server = await start('metrics', { env: { ROUTES: 1, UV_THREADPOOL_SIZE: 1, PLIMSOLL_DIR: folder(t) } })
  t.after(() => server.stop())
  await server.ask('holdPool')
  assert.match((await request(server.port, '/metrics')).body, /^plimsoll_processes 1$/m)
  assert.equal(await server.ask('poolHeld'), true)
})
