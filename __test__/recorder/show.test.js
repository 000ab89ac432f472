'use strict'

// What the command prints: the newest living record first, in lines that fit, in local time, and nothing that controls
// a terminal.

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { mkdirSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const test = require('node:test')
const { start } = require('../support/child.js')
const { plimsoll, show, folder } = require('../support/cli.js')
const { request, until } = require('../support/http.js')

const bin = join(__dirname, '..', '..', 'bin', 'plimsoll.js')
const UNICODE = { LC_ALL: 'C.UTF-8' }

function fits(text, width = 80) {
  for (const line of text.split('\n')) assert.ok(line.length <= width, `${line.length} columns: ${line}`)
}

async function flight(t, dir) {
  const server = await start('flight', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  for (let i = 0; i < 20; i++) await request(server.port, `/ok/${i}`)
  await until(async () => (await server.ask('stats')).routes[0]?.count === 20, 'all have ended')
  return server
}

test('shows the newest living record, verdict first, and says how many more there are', async t => {
  const dir = folder(t)
  const first = await flight(t, dir)
  const second = await flight(t, dir)
  const third = await flight(t, dir)
  third.kill('SIGKILL')
  await third.exited
  await until(async () => (await show(dir)).filter(record => record.alive).length === 2, 'one is dead')

  const one = await plimsoll(['show', dir], UNICODE)
  assert.equal(one.code, 0)
  assert.match(one.stdout, new RegExp(`^flight, pid ${second.pid}: alive, learning: `))
  assert.doesNotMatch(one.stdout, new RegExp(`pid ${first.pid}`))
  assert.match(one.stdout, /\n2 more records: 1 alive, 1 dead, the last .* ago \(.+\)\. --all shows them\.\n$/)

  const all = await plimsoll(['show', dir, '--all'], UNICODE)
  assert.match(all.stdout, /^3 records: 2 alive, 1 dead\n/)
  for (const { pid } of [first, second, third]) assert.match(all.stdout, new RegExp(`flight, pid ${pid}: `))
  assert.equal((await show(dir)).length, 3, 'JSON is for programs')

  const named = await plimsoll(['show', 'flight'], { ...UNICODE, PLIMSOLL_DIR: dir })
  assert.match(named.stdout, new RegExp(`^flight, pid ${second.pid}: alive`))
  for (const server of [first, second]) server.kill('SIGKILL')
  await Promise.all([first.exited, second.exited])
  const dead = await plimsoll(['show', dir], UNICODE)
  assert.match(dead.stdout, new RegExp(`^flight, pid ${third.pid}: dead, `), 'the newest of them')
})

test('lines fit 80 columns, or COLUMNS, or 120 if that is more', async t => {
  const dir = folder(t)
  await flight(t, dir)
  for (const [columns, width] of [
    [undefined, 80],
    ['60', 60],
    ['100', 100],
    ['9999', 120],
    ['wide', 80]
  ]) {
    const { stdout } = await plimsoll(['show', dir, '--all'], { ...UNICODE, ...(columns && { COLUMNS: columns }) })
    assert.match(stdout, /^flight, pid \d+: alive/)
    fits(stdout, width)
  }
  for (const args of [
    ['--help'],
    ['show', '--help'],
    ['soak', '--help'],
    ['heap', 'diff', '--help'],
    ['build', '--help']
  ])
    fits((await plimsoll(args)).stdout)
  assert.match((await plimsoll(['show', '--help'])).stdout, /^Usage: plimsoll show \[OPTIONS\]/m)
  for (const args of [['show', `/nowhere${'/and/on'.repeat(40)}`], ['show', '--what', 'x'.repeat(200)], ['soak']]) {
    const { code, stderr } = await plimsoll(args)
    assert.notEqual(code, 0)
    fits(stderr)
  }
})

test('times are local', async t => {
  const dir = folder(t)
  await flight(t, dir)
  const { stdout } = await plimsoll(['show', dir], { ...UNICODE, TZ: 'XYZ-5:30' })
  const [{ startedAt }] = await show(dir)
  const local = new Date(startedAt + 5.5 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ')
  assert.ok(stdout.includes(`since ${local} XYZ`), stdout)
  assert.ok(!stdout.includes('UTC'), stdout)
})

test('without a binary the reason fits as well', () => {
  const script = `
    require('node:module').prototype.require = new Proxy(require('node:module').prototype.require, {
      apply(target, self, [name]) {
        if (name.endsWith('binding.js')) throw new Error('none', { cause: new Error('/a/path '.repeat(40)) })
        return Reflect.apply(target, self, [name])
      }
    })
    process.argv.splice(1, 1, 'plimsoll', 'show')
    require(${JSON.stringify(bin)})`
  let said
  try {
    execFileSync(process.execPath, ['-e', script, 'x'], { encoding: 'utf8', stdio: 'pipe' })
  } catch (error) {
    said = error.stderr
  }
  assert.match(said, /no binary for/)
  assert.match(said, /npx\s+plimsoll\s+build/)
  fits(said)
})

test('what an app prints is shown with its escapes', async t => {
  const dir = folder(t)
  mkdirSync(join(dir, 'app'))
  const app = join(dir, 'app', 'index.js')
  writeFileSync(
    app,
    `console.error('\\u001b]0;owned\\u0007\\u001b[31mno database ${'and no cache '.repeat(12)}\\u001b[0m'); process.exit(3)`
  )
  const { code, stderr } = await plimsoll(['soak', app, '--route', 'GET /'])
  assert.equal(code, 2)
  assert.ok(stderr.includes('\\x1b]0;owned\\x07\\x1b[31mno database'), stderr)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  assert.doesNotMatch(stderr.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f]/)
  fits(stderr)
})
