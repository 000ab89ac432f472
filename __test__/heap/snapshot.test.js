'use strict'

// Heap snapshots by a child: their content, the effect on the server, and what is left after a failure.

const assert = require('node:assert/strict')
const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const zlib = require('node:zlib')
const plimsoll = require('../..')
const { start } = require('../support/child.js')
const { request, until } = require('../support/http.js')
const { nodes } = require('../support/nodes.js')
const { mount } = require('../support/mount.js')
const { childrenOf, descriptorsOf } = require('../support/processes.js')

const linux = process.platform === 'linux' ? {} : { skip: 'by a child on Linux only' }
const OBJECTS = 5000
/** Enough for the child to need a second or more. */
const MANY = 200_000

function temporary(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-snapshot-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  return dir
}

async function app(t, options = {}) {
  const server = await start('snapshot', options)
  t.after(() => server.stop())
  return server
}

/** How many objects of a class are in a snapshot, and whether it is complete. */
function countIn(text, className) {
  const { snapshot, nodes, edges, strings } = JSON.parse(text)
  const fields = snapshot.meta.node_fields
  const types = snapshot.meta.node_types[0]
  assert.equal(nodes.length, snapshot.node_count * fields.length)
  assert.equal(edges.length, snapshot.edge_count * snapshot.meta.edge_fields.length)
  const name = strings.indexOf(className)
  const object = types.indexOf('object')
  let count = 0
  for (let at = 0; at < nodes.length; at += fields.length) {
    if (nodes[at] === object && nodes[at + fields.indexOf('name')] === name) count += 1
  }
  return count
}

for (const { version, path: node } of nodes) {
  test(`Node ${version}: a child takes it while the server serves`, linux, async t => {
    const dir = temporary(t)
    const server = await app(t, { node })
    let serving = true
    const clients = Array.from({ length: 4 }, async () => {
      while (serving) {
        assert.equal((await request(server.port, '/')).status, 200)
        // The child has the lowest priority: it gets what the clients leave.
        await sleep(5)
      }
    })
    const result = await server.ask('snapshot', { path: dir })
    serving = false
    await Promise.all(clients)
    assert.equal(result.error, undefined)
    assert.equal(path.dirname(result.path), dir)
    assert.match(path.basename(result.path), /^Heap\.\d{8}\.\d{6}\.\d+\.1\.heapsnapshot$/)
    assert.equal(result.mode, 'fork')
    assert.ok(result.attempts >= 1 && result.pauseMs > 0 && result.tookMs >= result.pauseMs)
    t.diagnostic(
      `stood ${result.pauseMs.toFixed(1)} ms, took ${Math.round(result.tookMs)} ms, attempts ${result.attempts}`
    )
    const stat = fs.statSync(result.path)
    assert.deepEqual([stat.size, stat.mode & 0o777], [result.bytes, 0o600])
    assert.equal(countIn(fs.readFileSync(result.path, 'utf8'), 'LeakedSession'), OBJECTS)
    assert.deepEqual(fs.readdirSync(dir), [path.basename(result.path)])
    // The server is unchanged: it can start programs, its record is its own, and there is no child.
    assert.equal(await server.ask('spawn'), '2\n')
    assert.deepEqual(childrenOf(server.pid), [])
    const stats = await server.ask('stats')
    assert.equal(stats.faults, 0)
    assert.equal((await request(server.port, '/')).status, 200)
  })
}

for (const { version, path: node } of nodes) {
  test(`Node ${version}: while V8 marks beside the program, no moment is quiet, however long that takes`, linux, () => {
    const script = `
      const { native } = require('./lib/core/addon.js')
      require('.')({ recorder: false })
      let kept = []
      for (let made = 1; native.sinceMajorMs() > 0; made++) {
        if (made > 5e7) throw new Error('no marking has begun')
        if (made % 1e6 === 0) kept = []
        kept.push({ made })
      }
      // Without a tick of the event loop, which would end it.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
      if (native.sinceMajorMs() !== 0) throw new Error('it seems to be over')
      gc()
      if (native.sinceMajorMs() === 0) throw new Error('it never ends')`
    execFileSync(node, ['--expose-gc', '-e', script], { cwd: path.join(__dirname, '..', '..'), stdio: 'pipe' })
  })
}

test('compressed, over a file that is there, and once more', linux, async t => {
  const dir = temporary(t)
  const server = await app(t)
  const file = path.join(dir, 'own.heapsnapshot.zst')
  fs.writeFileSync(file, 'what was there')
  for (let i = 0; i < 2; i++) {
    const result = await server.ask('snapshot', { path: file, compress: 'zstd' })
    assert.deepEqual([result.path, result.bytes], [file, fs.statSync(file).size])
  }
  const text = inflated(file)
  if (text !== null) assert.equal(countIn(text, 'LeakedSession'), OBJECTS)
  assert.deepEqual(fs.readdirSync(dir), ['own.heapsnapshot.zst'])
})

function inflated(file) {
  if (zlib.zstdDecompressSync) return zlib.zstdDecompressSync(fs.readFileSync(file)).toString()
  const able = nodes.find(({ version }) => Number.parseInt(version, 10) >= 24)
  if (able === undefined) return null
  const code = "process.stdout.write(require('zlib').zstdDecompressSync(require('fs').readFileSync(process.argv[1])))"
  return execFileSync(able.path, ['-e', code, file], { maxBuffer: 2 ** 30 }).toString()
}

test('one at a time', linux, async t => {
  const server = await app(t)
  const { one, other } = await server.ask('two', { path: temporary(t) })
  assert.equal(one, 'fulfilled')
  assert.equal(other.code, 'ERR_PLIMSOLL_SNAPSHOT')
  assert.match(other.error, /one can be taken at a time/)
})

test('on a signal', linux, async t => {
  const dir = temporary(t)
  const server = await app(t, { env: { SIGNAL: 'SIGUSR2' }, cwd: dir })
  server.kill('SIGUSR2')
  // It has another name until it is complete.
  const name = await until(() => fs.readdirSync(dir).find(name => !name.startsWith('.')), 'the file')
  assert.equal(countIn(fs.readFileSync(path.join(dir, name), 'utf8'), 'LeakedSession'), OBJECTS)
  await until(() => server.output().includes(name), 'a word of it')
})

test('stop: V8 writes it here', async t => {
  const dir = temporary(t)
  const server = await app(t)
  for (const compress of process.platform === 'linux' ? [undefined, 'zstd'] : [undefined]) {
    const result = await server.ask('snapshot', { path: dir, mode: 'stop', compress })
    assert.deepEqual([result.mode, result.attempts, result.bytes], ['stop', 1, fs.statSync(result.path).size])
    assert.equal(fs.statSync(result.path).mode & 0o777, 0o600)
    if (!compress) assert.equal(countIn(fs.readFileSync(result.path, 'utf8'), 'LeakedSession'), OBJECTS)
  }
  assert.equal(
    fs.readdirSync(dir).some(name => name.includes('partial')),
    false
  )
})

test('a server that is killed takes the child with it: its port is free, and no file is left', linux, async t => {
  const dir = temporary(t)
  const server = await app(t, { env: { OBJECTS: String(MANY) } })
  server.ask('snapshot', { path: dir })
  const child = await until(() => childrenOf(server.pid)[0], 'a child')
  await server.stop()
  await until(() => !fs.existsSync(`/proc/${child}`), 'the child is gone')
  const next = net.createServer().listen(server.port, '127.0.0.1')
  await new Promise((resolve, reject) => next.once('listening', resolve).once('error', reject))
  next.close()
  assert.deepEqual(fs.readdirSync(dir), [])
})

test('while the child works, the port can be taken over: the child does not hold it', linux, async t => {
  const dir = temporary(t)
  const server = await app(t, { env: { OBJECTS: String(MANY) } })
  server.ask('snapshot', { path: dir })
  const child = await until(() => childrenOf(server.pid)[0], 'a child')
  // The server's descriptors are `/dev/null` in the child.
  const links = await until(() => {
    const links = descriptorsOf(child).map(([, target]) => target)
    return links.every(link => !link.startsWith('socket:')) && links
  }, 'no socket is held')
  assert.ok(links.includes('/dev/null'))
  assert.equal(fs.readFileSync(`/proc/${child}/oom_score_adj`, 'utf8').trim(), '1000')
})

test('a child that is killed each time is an error after four attempts, and nothing is left', linux, async t => {
  const dir = temporary(t)
  const server = await app(t, { env: { OBJECTS: String(MANY) } })
  let ended = false
  const result = server.ask('snapshot', { path: dir }).finally(() => {
    ended = true
  })
  const killed = new Set()
  await until(
    () => {
      for (const child of childrenOf(server.pid)) {
        killed.add(child)
        try {
          process.kill(child, 'SIGKILL')
        } catch {}
      }
      return ended
    },
    'it gives up',
    120_000
  )
  const { error, code } = await result
  assert.equal(code, 'ERR_PLIMSOLL_SNAPSHOT')
  assert.match(error, /after 4 attempts: signal 9 ended the child process/)
  assert.equal(killed.size, 4)
  assert.deepEqual(fs.readdirSync(dir), [])
  assert.equal((await request(server.port, '/')).status, 200)
})

test(
  'a full disk, a folder that is not there or not ours: an error that says so, and nothing is left',
  linux,
  async t => {
    const server = await app(t)
    const full = mount(t, () => ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs'])
    if (full !== null) {
      const { error } = await server.ask('snapshot', { path: full })
      assert.match(error, /No space left/)
      assert.deepEqual(fs.readdirSync(full), [])
    }
    const absent = path.join(temporary(t), 'absent', 'a.heapsnapshot')
    for (const mode of ['fork', 'stop']) {
      const { error, code } = await server.ask('snapshot', { path: absent, mode })
      assert.equal(code, 'ERR_PLIMSOLL_SNAPSHOT')
      assert.match(error, /No such file|ENOENT/)
    }
    assert.match((await server.ask('snapshot', { path: '/proc/self' })).error, /plimsoll: no heap snapshot/)
    await until(() => childrenOf(server.pid).length === 0, 'no child is left')
    assert.equal((await server.ask('snapshot', { path: temporary(t) })).mode, 'fork')
  }
)

test('without memory for a child, it is an error and the server serves on', linux, async t => {
  // 64 GiB of address space: enough for V8's reservations. A copy of all mappings does not count, but the child's own
  // allocations do.
  const dir = temporary(t)
  const server = await app(t, { env: { OBJECTS: String(MANY) } })
  const status = fs.readFileSync(`/proc/${server.pid}/status`, 'latin1')
  const size = Number(/^VmSize:\s+(\d+) kB/m.exec(status)[1]) * 1024
  try {
    execFileSync('prlimit', [`--pid=${server.pid}`, `--as=${size + 32 * 2 ** 20}`])
  } catch (error) {
    return t.skip(`prlimit: ${error.message}`)
  }
  const result = await server.ask('snapshot', { path: dir })
  assert.equal(result.code, 'ERR_PLIMSOLL_SNAPSHOT', JSON.stringify(result))
  assert.deepEqual(fs.readdirSync(dir), [])
  await until(() => childrenOf(server.pid).length === 0, 'no child is left')
  assert.equal((await request(server.port, '/')).status, 200)
})

test(
  'in a container: refused beforehand without room, and a child that outgrows it is ended before the kernel ends anybody',
  linux,
  async t => {
    const server = await app(t, { env: { OBJECTS: String(MANY) }, execArgv: ['--expose-gc'] })
    // Without garbage, since what a later collection frees would be room for the child. And before the process moves,
    // since only later allocations count there.
    const { heapUsed } = await server.ask('gc')
    const group = container(t, server.pid)
    if (group === null) return
    const dir = temporary(t)
    group.limit(5 * heapUsed)
    const refused = await server.ask('snapshot', { path: dir })
    assert.match(refused.error, /not enough memory: .* MiB are available/)
    // Small objects take twice the estimated memory.
    group.limit(7 * heapUsed + 64 * 2 ** 20)
    const ended = await server.ask('snapshot', { path: dir })
    assert.match(ended.error, /memory ran short/)
    assert.deepEqual(fs.readdirSync(dir), [])
    assert.deepEqual(childrenOf(server.pid), [])
    assert.equal(group.kills(), 0)
    assert.equal((await request(server.port, '/')).status, 200)
  }
)

/** A memory cgroup with this process in it. Null after a skip if none can be created. */
function container(t, pid) {
  const root = '/sys/fs/cgroup'
  const old = fs.existsSync(`${root}/memory/memory.limit_in_bytes`)
  const dir = path.join(root, old ? 'memory' : '', `plimsoll-test-${process.pid}`)
  const [limit, events] = old ? ['memory.limit_in_bytes', 'memory.oom_control'] : ['memory.max', 'memory.events']
  try {
    fs.mkdirSync(dir)
    fs.writeFileSync(path.join(dir, limit), String(2 ** 33))
    fs.writeFileSync(path.join(dir, 'cgroup.procs'), String(pid))
  } catch (error) {
    fs.rmSync(dir, { recursive: true, force: true })
    // Needs root, and a delegated controller. Containers often have neither, in CI too.
    t.skip(`no cgroup can be made: ${error.message}`)
    return null
  }
  t.after(async () => {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {}
    await until(() => fs.readFileSync(path.join(dir, 'cgroup.procs'), 'utf8') === '', 'the group is empty')
    fs.rmdirSync(dir)
  })
  return {
    limit: bytes => fs.writeFileSync(path.join(dir, limit), String(Math.ceil(bytes / 4096) * 4096)),
    kills: () => Number(/^oom_kill (\d+)/m.exec(fs.readFileSync(path.join(dir, events), 'utf8'))[1])
  }
}

test('options are checked, and what cannot be is said', async () => {
  const wrong = [
    [{ mode: 'clone' }, /snapshot\(\)'s mode takes 'fork' or 'stop'/],
    [{ compress: 'gzip' }, /snapshot\(\)'s compress/],
    [{ path: 5 }, /snapshot\(\)'s path/],
    [{ file: 'x' }, /file/]
  ]
  for (const [given, message] of wrong) await assert.rejects(plimsoll.snapshot(given), { name: 'TypeError', message })
  for (const snapshotSignal of ['SIGKILL', 'SIGNOTHING', 12, true]) {
    assert.throws(() => plimsoll({ snapshotSignal }), { name: 'TypeError', message: /snapshotSignal/ })
  }
})

test('in a worker thread, and without a binary, it says what to do', async t => {
  const dir = temporary(t)
  const code = `
    const { Worker } = require('node:worker_threads')
    const say = error => console.log(error.message)
    const plimsoll = require(${JSON.stringify(path.join(__dirname, '..', '..'))})
    if (process.env.PLIMSOLL === 'off') plimsoll.snapshot({ path: process.argv[1] }).catch(say)
    else new Worker(
      'require(' + JSON.stringify(${JSON.stringify(path.join(__dirname, '..', '..'))}) + ').snapshot().catch(error => console.log(error.message))',
      { eval: true })`
  for (const [env, message] of [
    [{ PLIMSOLL: 'off' }, /needs the addon.*mode: 'stop'/],
    [{}, /main thread only.*mode: 'stop'|needs Linux/]
  ]) {
    const child = spawn(process.execPath, ['-e', code, dir], { env: { ...process.env, ...env } })
    let output = ''
    child.stdout.on('data', text => (output += text))
    await new Promise(resolve => child.on('close', resolve))
    assert.match(output, message)
  }
})
