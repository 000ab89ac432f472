'use strict'

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { mkdirSync, rmSync, symlinkSync, writeFileSync } = require('node:fs')
const { dirname, join } = require('node:path')
const test = require('node:test')
const { find } = require('../../lib/recorder/process-identity.js')
const { show, folder } = require('../support/cli.js')
const { request, until } = require('../support/http.js')

const SERVER = `
if (process.env.GONE) require('node:fs').rmSync(process.cwd(), { recursive: true })
const express = require(${JSON.stringify(require.resolve('express'))})
const plimsoll = require(${JSON.stringify(join(__dirname, '..', '..'))})
const app = express()
app.use(plimsoll())
app.get('/metrics', plimsoll.metrics())
app.get('/death', (_req, res) => res.json(plimsoll.lastDeath()))
app.listen(0, '127.0.0.1', function () { console.log(this.address().port) })
`

function tree(root, files) {
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, typeof text === 'string' ? text : JSON.stringify(text))
  }
}

/** Runs `node script`: `{ port, pid, kill() }`. */
async function run(t, cwd, script, env) {
  const child = spawn(process.execPath, [script], {
    cwd,
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...env },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const exited = new Promise(resolve => child.once('exit', resolve))
  const kill = () => {
    child.kill('SIGKILL')
    return exited
  }
  t.after(kill)
  const port = await new Promise(resolve => child.stdout.once('data', text => resolve(Number(text))))
  return { port, pid: child.pid, kill }
}

async function death(server) {
  return JSON.parse((await request(server.port, '/death')).body)
}

/** Waits until its file shows that it serves: a mirrored one is late. */
function recorded(dir, { pid }) {
  const serves = record => record.pid === pid && record.requests.total > 0
  return until(async () => (await show(dir)).some(serves), 'the request is on record')
}

async function covered(server) {
  return Number(/^plimsoll_processes (\d+)$/m.exec((await request(server.port, '/metrics')).body)[1])
}

test('the name is that of the nearest package with one, and the script is a path within it', t => {
  const root = folder(t)
  tree(root, {
    'shop/app/package.json': { name: 'shop' },
    'shop/app/server.js': '',
    'shop/app/index.js': '',
    'shop/app/dist/package.json': { type: 'module' },
    'shop/app/dist/main.js': '',
    'shop/app/node_modules/next/package.json': { name: 'next' },
    'shop/app/node_modules/next/dist/bin/next': '',
    'tool/node_modules/red/package.json': { name: 'red' },
    'tool/node_modules/red/red.js': '',
    'broken/package.json': '{',
    'broken/server.js': '',
    'long/package.json': { name: 'x'.repeat(200) },
    'long/server.js': ''
  })
  const at = (path, env = {}) => {
    const { name, entry } = find(join(root, path), env)
    return [name, entry]
  }
  assert.deepEqual(at('shop/app/server.js'), ['shop', 'server.js'])
  assert.deepEqual(at('shop/app/server'), ['shop', 'server.js'])
  assert.deepEqual(at('shop/app'), ['shop', 'index.js'])
  assert.deepEqual(at('shop/app/dist/main.js'), ['shop', 'dist/main.js'])
  assert.deepEqual(at('shop/app/node_modules/next/dist/bin/next'), ['shop', 'node_modules/next/dist/bin/next'])
  assert.deepEqual(at('tool/node_modules/red/red.js'), ['red', 'red.js'])
  assert.equal(at('long/server.js')[0].length, 64)
  const wrapper = join(root, 'pm2', 'ProcessContainerFork.js')
  assert.equal(find(wrapper, { pm_exec_path: join(root, 'shop/app/server.js') }).entry, 'server.js')
  assert.equal(find(join(root, 'shop/app/server.js'), { pm_exec_path: '/elsewhere.js' }).name, 'shop')
})

test('two services in folders of one name share neither metrics nor deaths', async t => {
  for (const named of [true, false]) {
    const root = folder(t)
    const dir = folder(t)
    for (const service of ['shop', 'blog']) {
      tree(root, { [`${service}/app/server.js`]: SERVER })
      if (named) tree(root, { [`${service}/app/package.json`]: { name: service } })
    }
    const env = { PLIMSOLL_DIR: dir }
    const shop = await run(t, join(root, 'shop/app'), 'server.js', env)
    const blog = await run(t, join(root, 'blog/app'), 'server.js', env)
    assert.deepEqual([await covered(shop), await covered(blog)], [1, 1])
    await recorded(dir, shop)
    await shop.kill()
    const next = await run(t, join(root, 'blog/app'), 'server.js', env)
    assert.equal(await death(next), null)
    // A server reuses a rendering for a second.
    for (const server of [next, blog]) await until(async () => (await covered(server)) === 2, 'both are covered')
    const back = await run(t, join(root, 'shop/app'), 'server.js', env)
    assert.equal((await death(back)).pid, shop.pid)
  }
})

test('the next release in another folder is the same service', async t => {
  const root = folder(t)
  const dir = folder(t)
  const current = join(root, 'current')
  let last = null
  for (const release of ['20260101', '20260102', '20260103']) {
    tree(root, { [`${release}/package.json`]: { name: 'shop' }, [`${release}/server.js`]: SERVER })
    rmSync(current, { force: true })
    symlinkSync(join(root, release), current)
    const server = await run(t, root, join(current, 'server.js'), { PLIMSOLL_DIR: dir })
    assert.equal((await death(server))?.pid ?? null, last)
    await recorded(dir, server)
    await server.kill()
    last = server.pid
  }
})

test("PM2's container is not the script", async t => {
  const root = folder(t)
  const dir = folder(t)
  const container = 'pm2/lib/ProcessContainerFork.js'
  tree(root, {
    [container]: 'require(process.env.pm_exec_path)',
    'pm2/package.json': { name: 'pm2' },
    'shop/package.json': { name: 'shop' },
    'shop/server.js': SERVER,
    'blog/package.json': { name: 'blog' },
    'blog/server.js': SERVER
  })
  const start = name => run(t, root, container, { PLIMSOLL_DIR: dir, pm_exec_path: join(root, name, 'server.js') })
  const shop = await start('shop')
  const blog = await start('blog')
  assert.deepEqual([await covered(shop), await covered(blog)], [1, 1])
  const records = await until(async () => {
    const records = await show(dir)
    return records.length === 2 && records
  }, 'both are on record')
  assert.deepEqual(records.map(({ name, script }) => [name, script]).sort(), [
    ['blog', join(root, 'blog/server.js')],
    ['shop', join(root, 'shop/server.js')]
  ])
})

test('starts where its working directory has been removed', async t => {
  const root = folder(t)
  tree(root, { 'app/package.json': { name: 'shop' }, 'app/server.js': SERVER, 'gone/x': '' })
  const server = await run(t, join(root, 'gone'), join(root, 'app/server.js'), { PLIMSOLL_DIR: root, GONE: '1' })
  assert.equal(await covered(server), 1)
  const [{ name }] = await show(root)
  assert.equal(name, 'shop')
})
