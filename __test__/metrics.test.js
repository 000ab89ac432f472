'use strict'

const assert = require('node:assert/strict')
const { execFileSync, spawnSync } = require('node:child_process')
const test = require('node:test')
const express = require('express')
const plimsoll = require('..')
const { missing } = require('./support/nodes.js')
const { serve, request, until } = require('./support/http.js')

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
  const labels = '{method="GET",path="/users/:id",status_code="2xx"}'
  assert.ok(value(body, `http_request_duration_seconds_count${labels}`) >= 5)
  assert.ok(value(body, `plimsoll_http_request_heap_bytes_sum${labels}`) > 0)
  assert.ok(value(body, 'http_request_duration_seconds_count{method="GET",path="/fails",status_code="5xx"}') >= 1)
  assert.ok(!body.includes('/users/1'), 'no ids in labels')
})

test('answers in OpenMetrics where the scraper prefers it', async t => {
  const accept = 'application/openmetrics-text;version=1.0.0;q=0.7,text/plain;version=0.0.4;q=0.3'
  const { headers, body } = await scraped(t, '/metrics', { accept })
  assert.match(headers['content-type'], /^application\/openmetrics-text; version=1\.0\.0/)
  assert.ok(body.endsWith('# EOF\n'))
})

test("leaves prom-client's names to prom-client when told so", async t => {
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
  assert.ok(text.includes('plimsoll_http_request_heap_bytes_bucket'))
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
