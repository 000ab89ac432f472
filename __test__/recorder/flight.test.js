'use strict'

const assert = require('node:assert/strict')
const { existsSync } = require('node:fs')
const http = require('node:http')
const test = require('node:test')
const { start } = require('../support/child.js')
const { plimsoll, show, folder } = require('../support/cli.js')
const { pipelined, until } = require('../support/http.js')

// tmpfs, where the record is mapped, and a disk, where it is mirrored.
const places = [
  ['mapped', existsSync('/dev/shm') ? '/dev/shm' : undefined],
  ['mirrored', undefined]
]

/** Sends requests that get no response. They end with the server. */
function fly(port, paths) {
  for (const path of paths) {
    const method = path.startsWith('/upload') ? 'POST' : 'GET'
    const headers = method === 'POST' ? { 'content-length': 50_000_000 } : {}
    const req = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false })
    req.on('error', () => {})
    if (method === 'POST') req.write(Buffer.alloc(10_000))
    else req.end()
  }
}

function numbered(route, count) {
  return Array.from({ length: count }, (_, i) => `/${route}/${i}`)
}

for (const [kind, base] of places) {
  test(`names all 50 requests in flight after kill -9, and the one that ran (${kind})`, async t => {
    const dir = folder(t, base)
    const server = await start('flight', { env: { PLIMSOLL_DIR: dir } })
    t.after(() => server.stop())
    const waiting = [...numbered('sleep', 30), ...numbered('upload', 19)]
    fly(server.port, waiting)
    await until(async () => (await server.ask('stats')).requests.inFlight === 49, '49 requests in flight')
    await until(async () => (await server.ask('stats')).requests.bodyBytes === 190_000, 'what was uploaded has come')
    fly(server.port, ['/busy/loop'])
    // The loop is blocked: only the record shows it.
    await until(async () => (await show(dir))[0].blockedMs > 3500, 'the record says that the loop is blocked')
    const [alive] = await show(dir)
    assert.equal(alive.alive, true)

    server.kill('SIGKILL')
    await server.exited
    const killedAt = Date.now()
    const [record] = await show(dir)
    assert.equal(record.alive, false)
    assert.equal(record.pid, server.pid)
    assert.deepEqual(record.inFlight.map(r => r.path).sort(), [...waiting, '/busy/loop'].sort())
    assert.deepEqual(
      record.inFlight.filter(r => r.running).map(r => r.path),
      ['/busy/loop']
    )
    assert.equal(record.inFlight.find(r => r.running).route, '/busy/:id')
    assert.ok(record.inFlight.filter(r => r.path.startsWith('/upload')).every(r => r.bodyBytes === 10_000))
    const sample = record.samples.at(-1)
    assert.ok(killedAt - sample.at <= 1500, `the last sample is ${killedAt - sample.at} ms old`)
    assert.ok(sample.rssBytes > 1 << 20 && sample.heapLimitBytes > sample.heapUsedBytes)
    assert.ok(record.events.some(event => event.type === 'blocked' && event.route === '/busy/:id'))

    const text = (await plimsoll(['show', dir])).stdout
    for (const path of [...waiting, '/busy/loop']) assert.ok(text.includes(path), `${path} is shown`)

    const next = await start('flight', { env: { PLIMSOLL_DIR: dir } })
    t.after(() => next.stop())
    const death = await next.ask('lastDeath')
    assert.equal(death.pid, server.pid)
    assert.equal(death.cause, 'blocked loop')
    assert.match(death.evidence, /busy/)
    assert.equal(death.inFlightTotal, 50)
    await until(() => /died: blocked loop/.test(next.output()), 'the warning')
    assert.match(next.output(), /Read more: npx plimsoll show flight/)
    const third = await start('flight', { env: { PLIMSOLL_DIR: dir } })
    t.after(() => third.stop())
    assert.equal(await third.ask('lastDeath'), null, 'a death is reported once')
  })
}

test('reads the record of a process that ran out of heap, and says so at the next start', async t => {
  // On a disk the record may be 250 ms older than the death, in which this heap fills.
  const dir = folder(t, places[0][1])
  const server = await start('flight', { execArgv: ['--max-old-space-size=64'], env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  fly(server.port, [...numbered('sleep', 20), '/grow/1'])
  const { code, signal } = await server.exited
  const endedAt = Date.now()
  assert.ok(signal === 'SIGABRT' || code === 134, `${code} ${signal}`)
  const [record] = await show(dir)
  assert.equal(record.alive, false)
  assert.equal(record.inFlight.length, 21)
  assert.ok(record.inFlight.some(r => r.path === '/grow/1'))
  assert.ok(endedAt - record.samples.at(-1).at <= 1500 + 2000, 'V8 writes its own report before it aborts')
  const next = await start('flight', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => next.stop())
  const death = await next.ask('lastDeath')
  assert.equal(death.cause, 'heap limit', death.evidence)
  assert.equal(death.heaviest.route, '/grow/:id')
  await until(() => /PLIMSOLL_LAST_DEATH/.test(next.output()), 'the warning')
  assert.match(
    next.output(),
    /died: heap limit\. .* Heaviest route: GET \/grow\/:id \(.*\)\. Read more: npx plimsoll show flight/
  )
})

test('distinguishes a plain exit, an exit code, a signal and an uncaught exception', async t => {
  const dir = folder(t)
  const run = async end => {
    const server = await start('flight', { env: { PLIMSOLL_DIR: dir } })
    const death = await server.ask('lastDeath')
    await end(server)
    await server.exited
    return death
  }
  assert.equal(
    await run(server => {
      server.ask('exit', 3)
    }),
    null
  )
  const exit = await run(server => server.kill('SIGTERM'))
  assert.deepEqual([exit.cause, exit.exitCode], ['exit', 3])
  assert.equal(
    (
      await run(server => {
        fly(server.port, ['/throw/1'])
      })
    ).cause,
    'stop'
  )
  const thrown = await run(server => {
    server.ask('exit', 0)
  })
  assert.equal(thrown.cause, 'uncaught exception')
  assert.match(thrown.evidence, /TypeError/)
  assert.doesNotMatch(JSON.stringify(thrown), /hunter2/, 'messages may hold what belongs to a user')
})

test('keeps the size of its file, whatever runs', async t => {
  const dir = folder(t)
  const server = await start('flight', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  const size = async () => (await show(dir))[0].path && require('node:fs').statSync((await show(dir))[0].path).size
  const before = await size()
  await pipelined(server.port, i => `/ok/${i}`, 2000)
  assert.equal(await size(), before)
  assert.ok(before < 8 << 20)
})
