'use strict'

/* A real PM2 with a daemon of its own: apps in cluster and in fork mode, a reload, a stop. */

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { promisify } = require('node:util')
const { answer } = require('../support/frameworks.js')
const { until } = require('../support/http.js')

const folder = path.join(__dirname, '../apps/frameworks/pm2')
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-pm2-'))
const at = name => path.join(home, name)
const { NODE_TEST_CONTEXT: _, ...inherited } = process.env
const env = {
  ...inherited,
  HOME: home,
  NODE_ENV: 'production',
  PM2_HOME: at('pm2'),
  PM2_DISABLE_VERSION_CHECK: 'true',
  PLIMSOLL_DIR: at('records'),
  PORTS: at('ports')
}
// Workers of all apps that listen at one address and port share a socket, also for port 0, so each app has an address
// of its own.
const APPS = {
  bare: { script: 'server.js', args: 'bare', instances: 2, exec_mode: 'cluster', env: { HOST: '127.0.0.2' } },
  readme: { script: 'server.js', args: 'readme', instances: 2, exec_mode: 'cluster', env: { HOST: '127.0.0.3' } },
  other: { script: 'other.js', args: 'all', instances: 1, exec_mode: 'fork', env: { HOST: '127.0.0.4' } }
}

async function pm2(...args) {
  const command = path.join(__dirname, '../../node_modules/pm2/bin/pm2')
  const { stdout } = await promisify(execFile)(process.execPath, [command, ...args], {
    cwd: folder,
    env,
    timeout: 60_000
  })
  return stdout
}

/** `{ pid, port }` of each process that an app has ever had, from their files. */
function processes(app) {
  return fs
    .readdirSync(at('ports'))
    .map(file => ({ file, app: file.split(' ')[0], pid: Number(file.split(' ')[1]) }))
    .filter(each => each.app === app)
    .map(({ file, pid }) => ({ pid, port: Number(fs.readFileSync(path.join(at('ports'), file), 'utf8')) }))
    .filter(({ port }) => port > 0)
}

function isAlive(pid) {
  try {
    // After the name, which may contain any characters. A zombie counts as dead: not every container has a process that
    // reaps orphans.
    return !/^.*\) [ZX]/s.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

const living = app => processes(app).filter(({ pid }) => isAlive(pid))

async function running(app, pids = []) {
  return until(() => {
    const found = living(app).filter(({ pid }) => !pids.includes(pid))
    return found.length === APPS[app].instances && found
  }, `${app} runs`)
}

/** The standard error output of an app's processes. */
const errors = app => fs.readFileSync(at(`${app}.err`), 'utf8')

/** Sends a request to one of an app's processes, on a connection of its own. Returns the whole response. */
function ask(app, method, path, options) {
  return answer(living(app)[0].port, method, path, { host: APPS[app].env.HOST, ...options })
}

/** The `stats()` of each process of an app. */
async function statsOf(app) {
  const found = new Map()
  await until(async () => {
    const stats = JSON.parse((await ask(app, 'GET', '/stats')).split('\r\n\r\n')[1])
    found.set(stats.pid, stats)
    return found.size === APPS[app].instances
  }, `each process of ${app} answers`)
  return [...found.values()]
}

/** In any case, neither the daemon nor one of its processes survives. */
function reap() {
  const daemon = fs.existsSync(at('pm2/pm2.pid')) ? [Number(fs.readFileSync(at('pm2/pm2.pid'), 'utf8'))] : []
  const apps = fs.existsSync(at('ports')) ? Object.keys(APPS).flatMap(processes) : []
  for (const pid of [...daemon, ...apps.map(({ pid }) => pid)]) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
}

describe('PM2', { timeout: 300_000 }, () => {
  before(async () => {
    for (const name of ['pm2', 'records', 'ports']) fs.mkdirSync(at(name))
    process.on('exit', reap)
    const apps = Object.entries(APPS).map(([name, app]) => ({
      name,
      cwd: folder,
      error_file: at(`${name}.err`),
      out_file: at(`${name}.out`),
      merge_logs: true,
      ...app
    }))
    fs.writeFileSync(at('apps.json'), JSON.stringify({ apps }))
    await pm2('start', at('apps.json'))
    await Promise.all(Object.keys(APPS).map(app => running(app)))
  })

  after(async () => {
    await pm2('kill').catch(() => {})
    reap()
    process.off('exit', reap)
    fs.rmSync(home, { recursive: true, maxRetries: 3 })
  })

  test('its apps answer as without Plimsoll, byte for byte', async () => {
    const json = { 'content-type': 'application/json' }
    for (const each of [
      ['GET', '/hello/you'],
      ['HEAD', '/hello/you'],
      ['GET', '/nowhere'],
      ['POST', '/echo', { headers: json, body: '{"a":1}' }]
    ]) {
      const bare = await ask('bare', ...each)
      assert.match(bare, /^HTTP\/1\.1 \d/)
      for (const app of ['readme', 'other']) assert.equal(await ask(app, ...each), bare, `${app}: ${each}`)
    }
  })

  test('nothing is found, and nothing written to the error log', async () => {
    for (const { findings, faults: internalErrors } of [...(await statsOf('readme')), ...(await statsOf('other'))]) {
      assert.deepEqual(
        findings.filter(({ kind }) => kind !== 'heap-limit'),
        []
      )
      assert.equal(internalErrors ?? 0, 0)
    }
    for (const app of Object.keys(APPS)) assert.equal(errors(app), '', app)
  })

  test('a reload replaces the workers while the app answers', async () => {
    const first = living('readme').map(({ pid }) => pid)
    await pm2('reload', 'readme')
    await running('readme', first)
    await until(() => !first.some(isAlive), 'the old workers have ended')
    assert.match(await ask('readme', 'GET', '/hello/you'), /^HTTP\/1\.1 200/)
    for (const { pid, faults: internalErrors } of await statsOf('readme')) {
      assert.ok(!first.includes(pid))
      assert.equal(internalErrors ?? 0, 0)
    }
    // The workers that it stopped ended as ordinary stops.
    assert.equal(errors('readme'), '')
  })

  test('two services of one package are known by its name, and have metrics of their own', async () => {
    for (const { name } of [...(await statsOf('other')), ...(await statsOf('readme'))]) assert.equal(name, 'pm2-app')
    const covered = async app => Number(/^plimsoll_processes (\d+)/m.exec(await ask(app, 'GET', '/metrics'))[1])
    // The records of new workers may reach the disk a moment later.
    await until(async () => (await covered('readme')) === 2, 'both workers are covered')
    assert.equal(await covered('other'), 1)
    assert.equal(await covered('readme'), 2)
  })

  test('a stop ends each process, and killing PM2 leaves none', async () => {
    const pids = Object.keys(APPS).flatMap(app => living(app).map(({ pid }) => pid))
    assert.equal(pids.length, 5)
    await pm2('stop', 'readme')
    await until(() => living('readme').length === 0, 'the stopped workers have ended')
    await pm2('kill')
    await until(() => !pids.some(isAlive), 'all processes have ended')
  })
})
