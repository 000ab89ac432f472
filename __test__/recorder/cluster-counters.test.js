'use strict'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { chmodSync, existsSync, readdirSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const test = require('node:test')
const { setTimeout } = require('node:timers/promises')
const { start } = require('../support/child.js')
const { folder } = require('../support/cli.js')
const { request, until } = require('../support/http.js')

const places = [
  ['mapped', existsSync('/dev/shm') ? '/dev/shm' : undefined],
  ['mirrored', undefined]
]

/** Every series of a counter or a histogram, with its value. */
function counters(text) {
  const counting = new Map()
  const families = new Set()
  for (const line of text.split('\n')) {
    const [, name, kind] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    if (kind === 'counter' || kind === 'histogram') families.add(name)
    if (line === '' || line.startsWith('#')) continue
    const series = line.slice(0, line.lastIndexOf(' '))
    const sample = series.split('{')[0]
    const family = [sample, sample.replace(/_(bucket|sum|count)$/, '')].find(name => families.has(name))
    if (family !== undefined) counting.set(series, Number(line.slice(series.length + 1)))
  }
  return counting
}

/** A connection that was passed to a worker when it was killed gets no response. Another one is made then. */
async function scrape(port) {
  for (let tries = 0; ; tries++) {
    try {
      const signal = AbortSignal.timeout(5000)
      const response = await fetch(`http://127.0.0.1:${port}/metrics`, { signal, headers: { connection: 'close' } })
      assert.equal(response.status, 200)
      return await response.text()
    } catch (error) {
      if (tries === 10 || error.code === 'ERR_ASSERTION') throw error
    }
  }
}

/**
 * A worker responds with what it has rendered within the last second. A scraper that comes more often may get an older
 * figure.
 */
const REUSE_MS = 1000

/**
 * Scrapes like Prometheus, at most once a second, and returns which series have fallen or vanished since the last time.
 */
function watcher(port) {
  let last = new Map()
  let scraped = Promise.resolve()
  return async () => {
    await scraped
    const now = counters(await scrape(port))
    scraped = setTimeout(REUSE_MS)
    for (const [series, before] of last)
      assert.ok(now.get(series) >= before, `${series} fell from ${before} to ${now.get(series)}`)
    last = now
    return now
  }
}

async function load(port, requests) {
  for (let i = 0; i < requests; i++) {
    await request(port, `/users/${i}`, { agent: false })
    const headers = { 'content-type': 'text/plain' }
    await request(port, '/echo', { method: 'POST', headers, body: 'x'.repeat(100 * (i + 1)), agent: false })
  }
}

const COUNT = 'http_request_duration_seconds_count{method="GET",path="/users/:id",status_code="2xx"}'

function cluster(dir, env = {}) {
  return start('counted', { env: { PLIMSOLL_DIR: dir, WORKERS: '3', ...env } })
}

for (const [kind, base] of places) {
  test(`no counter of the cluster falls while its workers are killed and replaced (${kind})`, async t => {
    const dir = folder(t, base)
    const server = await cluster(dir)
    t.after(() => server.stop())
    const look = watcher(server.port)
    let ready = 3
    let sent = 0
    // More deaths than there is room for dead records.
    for (let round = 0; round < 7; round++) {
      await load(server.port, 4)
      sent += 4
      await until(async () => (await look()).get(COUNT) === sent, `all of ${sent} are counted`)
      const [victim] = await server.ask('pids')
      process.kill(victim, round % 2 === 0 ? 'SIGKILL' : 'SIGTERM')
      await until(async () => {
        await look()
        return (await server.ask('ready')) > ready
      }, 'it is replaced')
      ready = await server.ask('ready')
      await look()
    }
    await until(async () => (await look()).get(COUNT) === sent, `all of ${sent} are still counted`)
    const files = readdirSync(dir, { recursive: true }).filter(name => name.endsWith('.plimsoll'))
    assert.ok(files.length <= 3 + 5, `${files.length} records are left`)
    await server.stop()

    const again = await cluster(dir)
    t.after(() => again.stop())
    await load(again.port, 4)
    await until(async () => counters(await scrape(again.port)).get(COUNT) === 4, 'a new run starts anew')
  })
}

test('covers a cluster whose folder in memory has no room for all', async t => {
  const dir = folder(t)
  const wrapper = join(dir, 'node')
  const inside = `mount -t tmpfs -o size=16m tmpfs /dev/shm && exec "$0" "$@"`
  writeFileSync(wrapper, `#!/bin/sh\nexec unshare --mount sh -c '${inside}' '${process.execPath}' "$@"\n`)
  chmodSync(wrapper, 0o755)
  try {
    execFileSync(wrapper, ['-e', ''], { stdio: 'pipe' })
  } catch (error) {
    return t.skip(`cannot mount: ${error.stderr}`)
  }
  const server = await start('counted', {
    node: wrapper,
    env: { PLIMSOLL_DIR: '', TMPDIR: dir, WORKERS: '4' }
  })
  t.after(() => server.stop())
  await load(server.port, 8)
  const text = await until(async () => {
    const text = await scrape(server.port)
    return /^plimsoll_processes 4$/m.test(text) && counters(text).get(COUNT) === 8 && text
  }, 'all four are covered')
  assert.ok(text)
  const elsewhere = readdirSync(dir, { recursive: true }).filter(name => name.endsWith('.plimsoll'))
  assert.ok(elsewhere.length >= 2, 'some had to go to the temporary folder')
})
