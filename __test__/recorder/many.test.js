'use strict'

const assert = require('node:assert/strict')
const { readdirSync } = require('node:fs')
const { join } = require('node:path')
const test = require('node:test')
const { start } = require('../support/child.js')
const { show, folder } = require('../support/cli.js')
const { request, until } = require('../support/http.js')

function files(dir) {
  return readdirSync(dir, { recursive: true })
    .filter(name => name.endsWith('.plimsoll'))
    .map(name => join(dir, name))
}

test('gives each worker thread a record of its own', async t => {
  const dir = folder(t)
  const server = await start('workers', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  const ports = [server.port]
  for (let i = 0; i < 4; i++) ports.push(await server.ask('begin'))
  for (const [i, port] of ports.entries()) for (let n = 0; n <= i; n++) await request(port, '/hello')
  const records = await until(async () => {
    const records = await show(dir)
    return records.flatMap(r => r.routes).reduce((sum, row) => sum + row.count, 0) === 15 && records
  }, 'each request is on record')
  assert.equal(records.length, 5)
  assert.ok(records.every(record => record.alive && record.pid === server.pid))
  assert.equal(new Set(records.map(record => record.thread)).size, 5)
  assert.deepEqual(records.map(record => record.routes[0].count).sort(), [1, 2, 3, 4, 5])
})

test('leaves nothing of worker threads that end or are terminated: 50 of them, with traffic', async t => {
  const dir = folder(t)
  const server = await start('workers', { execArgv: ['--expose-gc'], env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  const cycle = async how => {
    const port = await server.ask('begin')
    for (let i = 0; i < 20; i++) await request(port, '/hello')
    await server.ask(how)
  }
  for (let i = 0; i < 10; i++) await cycle('end')
  const before = await server.ask('rss')
  for (let i = 0; i < 40; i++) await cycle(i % 4 === 0 ? 'terminate' : 'end')
  const after = await server.ask('rss')
  t.diagnostic(
    `RSS after 10 workers ${(before / 2 ** 20).toFixed(1)} MiB, after 50 ${(after / 2 ** 20).toFixed(1)} MiB`
  )
  assert.equal(files(dir).length, 1, 'the records of ended workers are gone')
  // A record left behind by each worker would be 244 MiB.
  assert.ok(after - before < 48 << 20, `${after - before}`)
})

test('a record per cluster worker; the metrics of any of them cover all', async t => {
  const dir = folder(t)
  const server = await start('cluster', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  const pids = new Set()
  await until(async () => {
    pids.add(JSON.parse((await request(server.port, '/who', { agent: false })).body).pid)
    return pids.size === 4
  }, 'each worker has answered')
  const records = await until(async () => {
    const records = await show(dir)
    return records.length === 4 && records.every(r => r.routes.length > 0) && records
  }, 'each has its record')
  assert.deepEqual(records.map(record => record.pid).sort(), [...pids].sort())
  const sent = records
    .flatMap(r => r.routes)
    .filter(row => row.route === '/who')
    .reduce((sum, row) => sum + row.count, 0)

  const metric = (text, name) =>
    text
      .split('\n')
      .filter(line => line.startsWith(name))
      .map(line => Number(line.split(' ').at(-1)))
  const all = (await request(server.port, '/metrics')).body
  const name = 'http_request_duration_seconds_count{method="GET",path="/who"'
  assert.deepEqual(metric(all, name), [sent])
  const own = (await request(server.port, '/metrics/own')).body
  assert.ok(metric(own, name)[0] < sent)
})
