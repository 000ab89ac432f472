'use strict'

const assert = require('node:assert/strict')
const { execFile, spawn } = require('node:child_process')
const { existsSync, readFileSync, readdirSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const test = require('node:test')
const { promisify } = require('node:util')
const { start } = require('../support/child.js')
const { show, folder } = require('../support/cli.js')
const { request, until } = require('../support/http.js')

const APP = join(__dirname, '..', 'apps', 'stops.js')
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP']
// tmpfs, where the record is mapped, and a disk, where it is mirrored.
const places = [
  ['mapped', existsSync('/dev/shm') ? '/dev/shm' : undefined],
  ['mirrored', undefined]
]

function records(dir) {
  return readdirSync(dir, { recursive: true }).filter(name => name.endsWith('.plimsoll'))
}

/** Whether the file shows that this process has had a request: a mirrored one is late. */
async function recorded(dir, pid) {
  return (await show(dir)).some(record => record.pid === pid && record.requests.total > 0)
}

/** A server with this folder that has had a request. */
async function server(t, dir, env = {}) {
  const server = await start('stops', { env: { PLIMSOLL_DIR: dir, ...env } })
  t.after(() => server.stop())
  await request(server.port, '/ok')
  await until(() => recorded(dir, server.pid), 'the request is on record')
  return server
}

/** Starts the next one and waits until it has consumed the death: `{ death, output }`. */
async function next(t, dir, env) {
  const next = await server(t, dir, env)
  const death = await next.ask('lastDeath')
  await until(
    async () => (await show(dir)).every(({ alive, reported }) => alive || reported),
    'all deaths are reported'
  )
  await next.ask('stats')
  const output = next.output()
  await next.stop()
  return { death, output }
}

for (const [kind, base] of places) {
  for (const signal of SIGNALS) {
    test(`${signal} ends the process as ever, and is no death (${kind})`, async t => {
      const dir = folder(t, base)
      const stopped = await server(t, dir)
      stopped.kill(signal)
      assert.deepEqual(await stopped.exited, { code: null, signal })
      const [record] = await show(dir)
      assert.deepEqual([record.alive, record.exit?.kind, record.exit?.detail], [false, 'signal', signal])
      assert.equal(record.death.cause, 'stop')
      const { death, output } = await next(t, dir)
      assert.deepEqual([death.cause, death.signal, death.exitCode], ['stop', signal, null])
      assert.equal(output, '')
    })
  }

  test(`SIGKILL without pressure is a line for the logger, and no warning (${kind})`, async t => {
    const dir = folder(t, base)
    for (const log of ['', '1']) {
      const killed = await server(t, dir)
      killed.kill('SIGKILL')
      await killed.exited
      const { death, output } = await next(t, dir, { LOG: log })
      assert.deepEqual([death.cause, death.signal], ['signal', null])
      if (log === '') assert.equal(output, '')
      else assert.match(output, /^plimsoll: the last process of "stops" died: signal\. .*npx plimsoll show stops\n$/)
    }
  })
}

/** The end of the process, and what the record says of it. */
const cases = {
  'a listener from before plimsoll() goes on to decide': {
    env: { BEFORE: `process.on('SIGTERM', () => process.exit(7))` },
    end: { code: 7, signal: null },
    kind: 'exit'
  },
  'a listener from after plimsoll() decides': {
    env: { AFTER: `process.on('SIGTERM', () => process.exit(0))` },
    end: { code: 0, signal: null },
    kind: 'exit'
  },
  'a listener that raises the signal again, as signal-exit does': {
    env: { AFTER: `process.once('SIGTERM', () => process.kill(process.pid, 'SIGTERM'))` },
    end: { code: null, signal: 'SIGTERM' },
    kind: 'signal'
  },
  'one from before that raises it again': {
    env: { BEFORE: `process.once('SIGTERM', () => process.kill(process.pid, 'SIGTERM'))` },
    end: { code: null, signal: 'SIGTERM' },
    kind: 'signal'
  },
  'a listener that was removed': {
    env: { AFTER: `const f = () => {}; process.on('SIGTERM', f); process.off('SIGTERM', f)` },
    end: { code: null, signal: 'SIGTERM' },
    kind: 'signal'
  },
  'all listeners removed': {
    env: { AFTER: `process.on('SIGTERM', () => {}); process.removeAllListeners('SIGTERM')` },
    end: { code: null, signal: 'SIGTERM' },
    kind: 'signal'
  },
  'worker threads beside': {
    env: {
      AFTER: `const { Worker } = require('node:worker_threads')
        for (let i = 0; i < 4; i++) new Worker('require(' + JSON.stringify(require.resolve('../..')) + ')(); setInterval(() => {}, 1000)', { eval: true })`
    },
    end: { code: null, signal: 'SIGTERM' },
    kind: 'signal'
  }
}

for (const [what, { env, end, kind }] of Object.entries(cases)) {
  test(`leaves signals to the app: ${what}`, async t => {
    const dir = folder(t)
    const stopped = await server(t, dir, env)
    stopped.kill('SIGTERM')
    assert.deepEqual(await stopped.exited, end)
    const main = (await show(dir)).find(({ thread }) => thread === 0)
    assert.equal(main.exit?.kind, kind)
    const { output } = await next(t, dir)
    assert.doesNotMatch(output, /PLIMSOLL_LAST_DEATH/)
  })
}

test('a signal that the app survives is no end', async t => {
  const dir = folder(t)
  const lively = await server(t, dir, { AFTER: `process.on('SIGTERM', () => {})` })
  lively.kill('SIGTERM')
  assert.equal((await request(lively.port, '/ok')).status, 200)
  lively.kill('SIGKILL')
  assert.equal((await lively.exited).signal, 'SIGKILL')
  assert.equal((await show(dir))[0].exit, null)
})

test('no listener of signals is added, and children begin with the dispositions that they always had', async t => {
  const dir = folder(t)
  const code = `require('node:fs').writeFileSync(process.env.PLIMSOLL_DIR + '/child',
    require('node:child_process').execFileSync('cat', ['/proc/self/status']))`
  const living = await server(t, dir, { AFTER: code })
  for (const name of [...SIGNALS, 'SIGUSR1', 'SIGUSR2', 'SIGQUIT']) assert.equal(await living.ask('count', name), 0)
  if (process.platform !== 'linux') return
  const mask = (file, name) => BigInt(`0x${new RegExp(`${name}:\\s*(\\w+)`).exec(readFileSync(file, 'utf8'))[1]}`)
  const status = join(dir, 'child')
  assert.equal(mask(status, 'SigCgt'), 0n)
  const bare = join(dir, 'bare')
  await promisify(execFile)(process.execPath, [
    '-e',
    `require('node:fs').writeFileSync(process.argv[1], require('node:child_process').execFileSync('cat', ['/proc/self/status']))`,
    bare
  ])
  for (const name of ['SigIgn', 'SigBlk']) assert.equal(mask(status, name), mask(bare, name), name)
  // The server has no handlers that a bare process does not have, except for SIGHUP.
  const bit = signal => 1n << BigInt(require('node:os').constants.signals[signal] - 1)
  const caught = mask(`/proc/${living.pid}/status`, 'SigCgt')
  for (const signal of ['SIGUSR2', 'SIGQUIT', 'SIGPIPE', 'SIGALRM']) assert.equal(caught & bit(signal), 0n, signal)
  for (const signal of SIGNALS) assert.notEqual(caught & bit(signal), 0n, signal)
})

test('only a server gets the report of the last death: a script and a query leave it, and no record of their own', async t => {
  const dir = folder(t)
  const killed = await server(t, dir)
  killed.kill('SIGKILL')
  await killed.exited
  const left = records(dir)
  for (let i = 0; i < 2; i++) {
    const { stdout } = await promisify(execFile)(process.execPath, [APP], {
      env: { ...process.env, PLIMSOLL_DIR: dir, SCRIPT: 'end' }
    })
    assert.equal(JSON.parse(stdout).pid, killed.pid)
    assert.deepEqual(records(dir), left)
  }
  const { death } = await next(t, dir)
  assert.equal(death.pid, killed.pid)
})

test('what is left of a script that was killed goes with the next start, and is no death', async t => {
  const dir = folder(t)
  const script = spawn(process.execPath, [APP], {
    env: { ...process.env, PLIMSOLL_DIR: dir, SCRIPT: 'wait' },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  await new Promise(resolve => script.stdout.once('data', resolve))
  script.kill('SIGKILL')
  await new Promise(resolve => script.once('exit', resolve))
  const [left] = records(dir)
  const living = await server(t, dir)
  assert.equal(await living.ask('lastDeath'), null)
  assert.ok(!records(dir).includes(left))
})

test('restarts of `node --watch` are ordinary stops', async t => {
  const dir = folder(t)
  const app = join(dir, 'app.js')
  const started = join(dir, 'started')
  writeFileSync(
    app,
    `const express = require(${JSON.stringify(require.resolve('express'))})
    const plimsoll = require(${JSON.stringify(join(__dirname, '..', '..'))})
    const app = express()
    app.use(plimsoll({ name: 'watched' }))
    app.listen(0, '127.0.0.1', async function () {
      await fetch('http://127.0.0.1:' + this.address().port)
      require('node:fs').appendFileSync(${JSON.stringify(started)}, process.pid + '\\n')
    })`
  )
  const watcher = spawn(process.execPath, ['--watch', app], {
    env: { ...process.env, NODE_TEST_CONTEXT: '', PLIMSOLL_DIR: dir },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  for (const stream of [watcher.stdout, watcher.stderr])
    stream.on('data', text => {
      output += text
    })
  t.after(() => watcher.kill('SIGTERM'))
  const starts = () => (existsSync(started) ? readFileSync(started, 'utf8').trim().split('\n').map(Number) : [])
  for (let start = 1; start <= 3; start++) {
    if (start > 1) writeFileSync(app, `${readFileSync(app, 'utf8')}\n`)
    await until(() => starts().length >= start, `start ${start}`)
    await until(() => recorded(dir, starts().at(-1)), 'it is on record')
  }
  const found = await until(async () => {
    const found = await show(dir)
    return found.filter(({ alive }) => !alive).length >= 2 && found
  }, 'two have ended')
  for (const { alive, exit } of found) if (!alive) assert.equal(exit?.detail, 'SIGTERM')
  await until(
    async () => (await show(dir)).every(({ alive, reported }) => alive || reported),
    'the last death is found'
  )
  assert.doesNotMatch(output, /PLIMSOLL_LAST_DEATH|died/)
})

test('stays ignored what was ignored: as without plimsoll', async t => {
  const dir = folder(t)
  const outcome = async (file, env) => {
    const child = spawn('sh', ['-c', `trap '' HUP; exec "$0" "$1"`, process.execPath, file], {
      env: { ...process.env, PLIMSOLL_DIR: dir, ...env },
      stdio: ['ignore', 'pipe', 'inherit']
    })
    await new Promise(resolve => child.stdout.once('data', resolve))
    child.kill('SIGHUP')
    setTimeout(() => child.kill('SIGTERM'), 500).unref()
    return new Promise(resolve => child.once('exit', (code, signal) => resolve({ code, signal })))
  }
  const bare = join(dir, 'bare.js')
  writeFileSync(bare, `console.log('ready'); setInterval(() => {}, 1000)`)
  assert.deepEqual(await outcome(APP, { SCRIPT: 'wait' }), await outcome(bare, {}))
})
