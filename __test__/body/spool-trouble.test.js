'use strict'

// What is left of spooled bodies when a client, the disk or the process fails in the middle.

const assert = require('node:assert/strict')
const { execFile, execFileSync } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const { join } = require('node:path')
const test = require('node:test')
const { promisify } = require('node:util')
const { start } = require('../support/child.js')
const { until } = require('../support/http.js')
const { mount } = require('../support/mount.js')
const { bytes, descriptors, onDisk } = require('../support/spool.js')
const { random, upload, wire } = require('../support/uploads.js')

const UPLOADS = 5000
const STORMS = 10
const AT_ONCE = 40

async function started(t, dir, options = {}) {
  const server = await start('spool', { ...options, env: { SPOOL_DIR: dir, ...options.env } })
  t.after(() => server.stop())
  return server
}

const head = size => `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`

test('nothing is left after kill -9 in the middle of uploads', async t => {
  const dir = onDisk(t)
  const server = await started(t, dir)
  const lines = await Promise.all(Array.from({ length: 8 }, () => wire(server.port)))
  for (const line of lines) line.write(head(10_000_000), bytes(1_000_000))
  await until(() => descriptors(dir, server.pid).length === 8, 'eight files are open')
  server.kill('SIGKILL')
  await server.exited
  assert.deepEqual(fs.readdirSync(dir), [])
  for (const { socket } of lines) socket.destroy()
})

/** An upload that is cut after `size` bytes. */
function cut(port, data) {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(data, () => socket.resetAndDestroy()))
    socket.on('error', () => {})
    socket.on('close', resolve)
  })
}

test(`descriptors and native memory are back after ${UPLOADS} uploads, each cut at a random byte`, async t => {
  const dir = onDisk(t)
  const server = await started(t, dir, { execArgv: ['--expose-gc'] })
  const next = random(3)
  const whole = Buffer.concat([Buffer.from(head(300_000)), bytes(300_000)])
  const storm = async count => {
    let left = count
    const one = async () => {
      while (left-- > 0) await cut(server.port, whole.subarray(0, Math.floor(next() ** 2 * whole.length)))
    }
    await Promise.all(Array.from({ length: AT_ONCE }, one))
    const over = async () => {
      const state = await server.ask('state')
      const ended = state.whole + Object.values(state.errors).reduce((sum, errors) => sum + errors, 0)
      return state.descriptors === 0 && ended === state.begun && state
    }
    return until(over, 'every request has ended')
  }
  const before = await storm(1000)
  // Caches of the allocator and of threads come and go, up to 350 KB from one state to the next: what uploads leave does not go.
  const growths = []
  let after
  do {
    after = await storm(UPLOADS)
    growths.push(after.nativeBytes - before.nativeBytes)
  } while (growths.at(-1) > 32 * UPLOADS && growths.length < STORMS)
  assert.deepEqual(Object.keys(after.errors), ['request.aborted'])
  assert.ok(after.errors['request.aborted'] > UPLOADS / 2)
  assert.ok(growths.at(-1) <= 32 * UPLOADS, `native memory grew by ${growths} bytes`)
  assert.deepEqual(fs.readdirSync(dir), [])
  assert.equal((await upload(server.port, '/', { pieces: [bytes(100_000)] })).json.size, 100_000)
  t.diagnostic(`${after.errors['request.aborted']} aborted, native memory ${growths} bytes more`)
})

test('native memory does not hold what streams have delivered, however much that is', async t => {
  const server = await started(t, onDisk(t))
  const [size, streams] = [24 * 2 ** 20, 50]
  const { json } = await upload(server.port, `/read?streams=${streams}`, { pieces: [Buffer.alloc(size, 'plimsoll')] })
  assert.equal(json.size, size * streams)
  // One chunk for each stream is 3 MiB.
  assert.ok(json.growth < 16 * 2 ** 20, `native memory grew by ${json.growth} bytes`)
  t.diagnostic(`native memory grew by ${json.growth} bytes`)
})

for (const express of ['express', 'express4']) {
  for (const kind of ['tmpfs', 'ext4']) {
    test(`${express}: a full disk (${kind}) is a 507 that the client hears, and the next upload works`, async t => {
      const image = dir => join(dir, 'disk')
      const dir =
        kind === 'tmpfs'
          ? mount(t, () => ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs'])
          : mount(
              t,
              dir => ['-o', 'loop', image(dir)],
              dir => {
                execFileSync('truncate', ['--size', '8M', image(dir)])
                execFileSync('mkfs.ext4', ['-q', image(dir)], { stdio: 'pipe' })
              }
            )
      if (dir === null) return
      const server = await started(t, dir, { env: { EXPRESS: express } })
      const piece = bytes(500_000)
      for (const headers of [{ 'content-length': 40 * piece.length }, {}]) {
        for (let i = 0; i < 5; i++) {
          const { status, json } = await upload(server.port, '/', { headers, pieces: Array(40).fill(piece) })
          assert.deepEqual([status, json.type, json.code], [507, 'spool.full', 'ENOSPC'])
          assert.match(json.message, /no space left on device/)
        }
      }
      await until(async () => (await server.ask('state')).descriptors === 0, 'all descriptors are closed')
      // ext4 gives freed blocks out again once its journal has committed that they are free.
      const next = await until(async () => {
        const answer = await upload(server.port, '/', { pieces: [piece, piece] })
        return answer.status !== 507 && answer
      }, 'the disk has room again')
      assert.deepEqual([next.status, next.json], [200, { size: 1_000_000, descriptors: 1 }])
    })
  }
}

test('a file system without nameless files has one that is unlinked, and moveTo copies', async t => {
  const image = dir => join(dir, 'disk')
  const dir = mount(
    t,
    dir => ['-o', 'loop', image(dir)],
    dir => {
      execFileSync('truncate', ['--size', '16M', image(dir)])
      execFileSync('mkfs.vfat', [image(dir)], { stdio: 'pipe' })
    }
  )
  if (dir === null) return
  const server = await started(t, dir)
  const body = bytes(1_000_000)
  const move = () => upload(server.port, `/?to=${encodeURIComponent(join(dir, 'moved'))}`, { pieces: [body] })
  assert.equal((await move()).status, 200)
  assert.ok(fs.readFileSync(join(dir, 'moved')).equals(body))
  assert.equal((await move()).json.code, 'EEXIST')
  await until(async () => (await server.ask('state')).descriptors === 0, 'all descriptors are closed')
  assert.deepEqual(fs.readdirSync(dir), ['moved'])
})

test('a file size limit (ulimit -f) is a 507 too, not the end of the server', async t => {
  const dir = onDisk(t)
  const server = await started(t, dir)
  try {
    execFileSync('prlimit', [`--fsize=${1 << 20}`, '--pid', String(server.pid)], { stdio: 'pipe' })
  } catch (error) {
    return t.skip(`no prlimit: ${error.message}`)
  }
  const { status, json } = await upload(server.port, '/', { pieces: Array(20).fill(bytes(100_000)) })
  assert.deepEqual([status, json.type, json.code], [507, 'spool.full', 'EFBIG'])
  assert.equal((await upload(server.port, '/', { pieces: [bytes(500_000)] })).status, 200)
})

test('a folder that goes away is a 500 that says so', async t => {
  const dir = join(onDisk(t), 'below')
  fs.mkdirSync(dir)
  const server = await started(t, dir)
  fs.rmdirSync(dir)
  const { status, json } = await upload(server.port, '/', { pieces: [bytes(500_000)] })
  assert.deepEqual([status, json.type, json.code], [500, 'spool.failed', 'ENOENT'])
  assert.equal((await upload(server.port, '/', { pieces: ['small'] })).status, 200, 'what fits into memory needs none')
})

test('without a binary every body is a 501 that says why, with one warning; requests without one pass', async () => {
  const program = `
    const plimsoll = require(${JSON.stringify(join(__dirname, '..', '..'))})
    const http = require('node:http')
    const spool = plimsoll.spool()
    const server = http.createServer((req, res) => spool(req, res, error => {
      res.statusCode = error ? error.status : 200
      res.end(error ? error.type + ' ' + error.message : 'passed')
    })).listen(0, async () => {
      const url = 'http://127.0.0.1:' + server.address().port
      const post = await fetch(url, { method: 'POST', body: 'x' })
      console.log(post.status, await post.text())
      console.log(await (await fetch(url)).text())
      server.closeAllConnections()
      server.close()
    })`
  const env = { ...process.env, NODE_TEST_CONTEXT: '', PLIMSOLL: 'off' }
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', program], { env, timeout: 30_000 })
  const [post, get] = stdout.trim().split('\n')
  assert.match(post, /^501 spool\.unavailable .*PLIMSOLL=off/)
  assert.equal(get, 'passed')
  assert.equal(stderr.split('PLIMSOLL_SPOOL').length, 2, stderr)
})
