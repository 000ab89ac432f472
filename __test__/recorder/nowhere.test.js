'use strict'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { existsSync, readdirSync, rmSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const test = require('node:test')
const { start } = require('../support/child.js')
const { show, folder } = require('../support/cli.js')
const { request, until } = require('../support/http.js')
const { mount } = require('../support/mount.js')

/** The app serves, counts, and has reported once why there is no file. */
async function worksWithoutFile(t, dir) {
  const server = await start('flight', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  for (let i = 0; i < 20; i++) assert.equal((await request(server.port, `/ok/${i}`)).status, 200)
  const stats = await until(async () => {
    const stats = await server.ask('stats')
    return stats.routes[0]?.count === 20 && stats
  }, 'all are counted')
  assert.equal(stats.recorder.path, null)
  await until(() => server.output().includes('PLIMSOLL_RECORDER'), 'the warning')
  assert.equal(server.output().split('The record is in memory only').length, 2, server.output())
  assert.ok(server.output().includes(dir), 'it names the folder')
  return server
}

test('works with one warning where the folder cannot be made', async t => {
  const file = join(folder(t), 'a-file')
  writeFileSync(file, '')
  await worksWithoutFile(t, join(file, 'below'))
})

test('works with one warning on a full tmpfs, and never dies of it', async t => {
  const target = mount(t, () => ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs'])
  if (target !== null) await worksWithoutFile(t, target)
})

test('works with one warning on a full disk, and never dies of it', async t => {
  const image = dir => join(dir, 'disk')
  const target = mount(
    t,
    dir => ['-o', 'loop', image(dir)],
    dir => {
      execFileSync('truncate', ['--size', '4M', image(dir)])
      execFileSync('mkfs.ext4', ['-q', image(dir)], { stdio: 'pipe' })
    }
  )
  if (target !== null) await worksWithoutFile(t, target)
})

test('works with one warning on a read-only file system', async t => {
  const target = mount(t, () => ['-t', 'tmpfs', '-o', 'ro', 'tmpfs'])
  if (target !== null) await worksWithoutFile(t, target)
})

test('goes on when its file is removed while it runs', async t => {
  const dir = folder(t, existsSync('/dev/shm') ? '/dev/shm' : undefined)
  const server = await start('flight', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  const [{ path }] = await show(dir)
  rmSync(path)
  for (let i = 0; i < 20; i++) await request(server.port, `/ok/${i}`)
  await until(async () => (await server.ask('stats')).routes[0]?.count === 20, 'all are counted')
  assert.deepEqual(
    readdirSync(dir, { recursive: true }).filter(name => name.endsWith('.plimsoll')),
    []
  )
})

test('says what it looked for where there is no record', async t => {
  const { plimsoll } = require('../support/cli.js')
  const empty = folder(t)
  const { code, stderr } = await plimsoll(['show', empty])
  assert.equal(code, 1)
  assert.ok(stderr.includes(empty), stderr)
  assert.equal((await plimsoll(['show', '--no-such-option'])).code, 2)
  const file = join(empty, 'foreign.plimsoll')
  writeFileSync(file, 'not a record')
  const foreign = await plimsoll(['show', file])
  assert.equal(foreign.code, 1)
  assert.match(foreign.stderr, /not a record of Plimsoll/)
})
