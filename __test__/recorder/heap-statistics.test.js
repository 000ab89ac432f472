'use strict'

const assert = require('node:assert/strict')
const { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const test = require('node:test')
const { start } = require('../support/child.js')
const { folder } = require('../support/cli.js')
const { request, until } = require('../support/http.js')

/** The lines of a statistics file. Each must be complete. */
function lines(file) {
  const text = readFileSync(file, 'utf8')
  assert.ok(text === '' || text.endsWith('\n'), 'the last line is whole')
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line))
}

function linesIfAny(file) {
  try {
    return lines(file).length
  } catch {
    return 0
  }
}

test('appends heap statistics from a thread of its own, as one JSON object a line', async t => {
  const file = join(folder(t), 'heap.ndjson')
  const server = await start('heap-statistics', { args: [file] })
  t.after(() => server.stop())
  await request(server.port, '/ok')
  await until(() => linesIfAny(file) >= 5, 'five lines')
  for (const line of lines(file)) {
    assert.equal(line.pid, server.pid)
    assert.ok(line.rssBytes > 1 << 20 && line.heap.usedBytes > 1 << 20, JSON.stringify(line))
    assert.ok(line.heap.limitBytes > line.heap.usedBytes, JSON.stringify(line))
  }
  assert.equal(statSync(file).mode & 0o777, 0o600)
})

for (const [how, end] of [
  [
    'process.exit()',
    server => {
      server.ask('exit', 0)
    }
  ],
  [
    'an uncaught exception',
    server => {
      request(server.port, '/throw').catch(() => {})
    }
  ]
]) {
  test(`has its last line after ${how}`, async t => {
    const file = join(folder(t), 'heap.ndjson')
    const server = await start('heap-statistics', { args: [file] })
    t.after(() => server.stop())
    await until(() => linesIfAny(file) >= 1, 'a line')
    await request(server.port, '/ok')
    await request(server.port, '/ok')
    end(server)
    await server.exited
    assert.ok(lines(file).at(-1).requests.total >= 2, 'what happened since the line before is in the last one')
  })
}

test('rotates by size and keeps the configured number of files', async t => {
  const dir = folder(t)
  const file = join(dir, 'heap.ndjson')
  const server = await start('heap-statistics', { args: [file, '4kb'] })
  t.after(() => server.stop())
  await until(() => readdirSync(dir).length === 3, 'the file and two old ones', 30_000)
  // Otherwise a file might be renamed between the listing and the reading.
  await server.stop()
  const sizes = readdirSync(dir).map(name => statSync(join(dir, name)).size)
  assert.ok(
    sizes.every(size => size <= 4096),
    `${sizes}`
  )
  for (const name of readdirSync(dir)) lines(join(dir, name))
})

test('goes on when its folder vanishes, and writes again when it is back', async t => {
  const dir = join(folder(t), 'logs')
  mkdirSync(dir)
  const file = join(dir, 'heap.ndjson')
  const server = await start('heap-statistics', { args: [file, '4kb'] })
  t.after(() => server.stop())
  await until(() => linesIfAny(file) >= 1, 'a line')
  // Moved away together with the open file. The next rotation finds no folder.
  renameSync(dir, `${dir}-gone`)
  await until(async () => (await server.ask('stats')).pid, 'the app answers')
  assert.equal((await request(server.port, '/ok')).body, 'ok')
  rmSync(`${dir}-gone`, { recursive: true })
  mkdirSync(dir)
  await until(() => linesIfAny(file) >= 1, 'a line in the new folder', 60_000)
})

test('never touches the app when the file cannot be written', async t => {
  const parent = join(folder(t), 'a-file')
  writeFileSync(parent, '')
  const server = await start('heap-statistics', { args: [join(parent, 'heap.ndjson')] })
  t.after(() => server.stop())
  assert.equal((await request(server.port, '/ok')).body, 'ok')
})
