'use strict'

// The cost of bombs, held bodies and abandoned ones: native memory is asserted, and the event loop's time is printed.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')
const test = require('node:test')
const { setImmediate: turn } = require('node:timers/promises')
const zlib = require('node:zlib')
const { start } = require('../support/child.js')
const { bombs, encodings, needZstd } = require('../support/encodings.js')
const { until } = require('../support/http.js')
const { upload, random } = require('../support/uploads.js')

const MB = 2 ** 20
/** The most memory of a body: less than 2 MiB, and a window if the encoding has one. */
const BOUNDS = { gzip: 2 * MB, deflate: 2 * MB, br: 8 * MB + 2 * MB, zstd: 8 * MB + 2 * MB }
const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = zlib.constants
const mb = bytes => `${(bytes / MB).toFixed(2)} MiB`

async function app(t) {
  const child = await start('inflate', { execArgv: ['--expose-gc'] })
  t.after(() => child.stop())
  return child
}

test('a bomb of 200 MB is refused, and leaves nothing', async t => {
  const child = await app(t)
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const send = (path, encoding, bomb) =>
    upload(child.port, path, { agent, headers: { 'content-encoding': encoding }, pieces: [bomb] })
  for (const encoding of Object.keys(bombs)) await send('/limited', encoding, bombs[encoding](2 * MB))
  const sent = Object.entries(bombs).map(([encoding, make]) => [encoding, encoding, make(200_000_000)])
  sent.push(
    ['gzip of gzip', 'gzip', zlib.gzipSync(sent[0][2])],
    ['gzip, gzip', 'gzip, gzip', zlib.gzipSync(sent[0][2])]
  )
  for (const [what, encoding, bomb] of sent) {
    for (const path of ['/limited', '/ratio']) {
      const before = await child.ask('native')
      await child.ask('busy')
      const { status } = await send(path, encoding, bomb)
      const busy = await child.ask('busy')
      const after = await child.ask('native')
      const wanted = { 'gzip of gzip': 200, 'gzip, gzip': 415 }[what] ?? 413
      assert.equal(status, wanted, `${what} ${path}`)
      const kept = after.jemalloc - before.jemalloc
      t.diagnostic(`${what} ${path}: ${bomb.length} bytes, event loop ${busy.toFixed(1)} ms, left ${mb(kept)}`)
      assert.ok(kept < 256 * 1024, `${what} ${path} has left ${mb(kept)}`)
    }
  }
})

test('a body that is half read holds less than 2 MiB, with br and zstd a window more, and gives it back', async t => {
  const child = await app(t)
  const count = 5
  for (const [encoding, make] of Object.entries(bombs)) {
    const bomb =
      encoding === 'br'
        ? zlib.brotliCompressSync(Buffer.alloc(30 * MB), {
            params: { [BROTLI_PARAM_QUALITY]: 5, [BROTLI_PARAM_LGWIN]: 23 }
          })
        : make(30 * MB)
    const before = await child.ask('native')
    const sockets = Array.from({ length: count }, () => {
      const socket = net.connect(child.port, '127.0.0.1')
      socket.on('error', () => {})
      const head = `POST /held/${20 * MB} HTTP/1.1\r\nHost: x\r\nContent-Encoding: ${encoding}\r\n`
      socket.write(`${head}Content-Length: ${bomb.length}\r\n\r\n`)
      socket.write(bomb)
      return socket
    })
    await until(async () => (await child.ask('held')) === count, `${encoding}: all are held`, 30_000)
    const during = await child.ask('native')
    const each = {
      jemalloc: (during.jemalloc - before.jemalloc) / count,
      malloc: (during.malloc - before.malloc) / count
    }
    t.diagnostic(`${encoding}: jemalloc ${mb(each.jemalloc)}, malloc ${mb(each.malloc)} a body`)
    // zstd is C, and uses malloc, which also counts Node's memory for a connection.
    assert.ok(each.jemalloc + Math.max(0, each.malloc) < BOUNDS[encoding], `${encoding}: ${JSON.stringify(each)}`)
    for (const socket of sockets) socket.destroy()
    await until(async () => {
      const after = await child.ask('native')
      return after.jemalloc - before.jemalloc < 256 * 1024 && after.malloc - before.malloc < 4 * MB
    }, `${encoding}: the memory is back`)
  }
})

test('decoders of three hundred bombs together use no more than their limit, and a body without room gets an error', async t => {
  for (const encoding of ['br', 'gzip', 'zstd']) {
    if (encoding === 'zstd' && !needZstd(t)) continue
    const child = await app(t)
    const before = await child.ask('native')
    const zeros = Buffer.alloc(32 * MB)
    const bomb =
      encoding === 'br'
        ? zlib.brotliCompressSync(zeros, { params: { [BROTLI_PARAM_LGWIN]: 23 } })
        : bombs[encoding](32 * MB)
    let refused = 0
    const head = `POST /held/1 HTTP/1.1\r\nHost: x\r\nContent-Encoding: ${encoding}\r\nContent-Length: ${bomb.length}\r\n\r\n`
    const sockets = Array.from({ length: 300 }, () => {
      const socket = net.connect(child.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.on('data', data => {
        if (String(data).startsWith('HTTP/1.1 503')) refused += 1
      })
      socket.write(Buffer.concat([Buffer.from(head), bomb]))
      return socket
    })
    t.after(() => sockets.forEach(socket => void socket.destroy()))
    await until(async () => (await child.ask('held')) + refused === 300, `${encoding}: each is held or refused`)
    const decoders = await child.ask('decoders')
    const during = await child.ask('native')
    const grown = during.jemalloc - before.jemalloc + Math.max(0, during.malloc - before.malloc)
    t.diagnostic(`${encoding}: ${refused} refused, decoders ${mb(decoders)}, memory ${mb(grown)}`)
    assert.ok(decoders > 0 && decoders <= 64 * MB, `${encoding}: ${decoders}`)
    // In addition, 300 connections with their half-read bodies.
    assert.ok(grown < 64 * MB + 300 * 256 * 1024, `${encoding}: ${grown}`)
    // A window of br is mapped, which no allocator counts. Without a limit they used 2.4 GB.
    const resident = during.rss - before.rss
    t.diagnostic(`${encoding}: RSS ${mb(resident)} more`)
    assert.ok(resident < 64 * MB + 300 * 256 * 1024 + 64 * MB, `${encoding}: RSS ${mb(resident)} more`)
    assert.ok(refused > 0 || encoding === 'gzip', `${encoding}: all were held`)
    for (const socket of sockets) socket.destroy()
    await until(async () => (await child.ask('decoders')) === 0, `${encoding}: the room is back`)
  }
})

test('uploads that are cut at any byte give everything back', async t => {
  if (!needZstd(t)) return
  const child = await app(t)
  const next = random(11)
  const noise = Buffer.from(Array.from({ length: 300_000 }, () => Math.floor(next() * 256)))
  const body = Buffer.concat([noise, Buffer.alloc(3 * MB, 'some words'), noise])
  const uploads = Object.values(encodings).map(({ name, encode }) => ({ name, sent: encode(body) }))
  const paths = ['/read', '/body', `/held/${MB}`, '/limited', '/ratio']

  async function cut() {
    const { name, sent } = uploads[Math.floor(next() * uploads.length)]
    const path = paths[Math.floor(next() * paths.length)]
    const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Encoding: ${name}\r\nContent-Length: ${sent.length}\r\n\r\n`
    const whole = Buffer.concat([Buffer.from(head), sent])
    const part = whole.subarray(0, 1 + Math.floor(next() * whole.length))
    const socket = net.connect(child.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.resume()
    await once(socket, 'connect')
    const written = new Promise(resolve => socket.write(part, resolve))
    // A held body never takes all of it.
    if (path.startsWith('/held')) await turn()
    else await Promise.race([written, once(socket, 'close')])
    if (next() < 0.5) socket.destroy()
    else socket.resetAndDestroy()
  }

  async function storm(count) {
    const runners = Array.from({ length: 20 }, async () => {
      while (count > 0) {
        count -= 1
        await cut()
      }
    })
    await Promise.all(runners)
    await until(async () => {
      await child.ask('release')
      return (await child.ask('stats')).requests.inFlight === 0
    }, 'no request is in flight')
  }

  /** Bytes that a storm has left in each allocator: as soon as that is next to nothing, or after ten seconds. */
  async function leftBy(count) {
    const before = await child.ask('native')
    await storm(count)
    const deadline = Date.now() + 10_000
    for (;;) {
      const after = await child.ask('native')
      const left = { jemalloc: after.jemalloc - before.jemalloc, malloc: after.malloc - before.malloc }
      const nothing = left.jemalloc < 256 * 1024 && left.malloc < 8 * MB
      if (nothing || Date.now() > deadline) return { nothing, ...left }
    }
  }

  await storm(40)
  // What threads and the collector have not returned yet differs from storm to storm, by up to 350 KB. Over four storms
  // it does not add up (measured on a busy machine). What is lost grows with each.
  const left = []
  do left.push(await leftBy(400))
  while (!left.at(-1).nothing && left.length < 3)
  t.diagnostic(left.map(({ jemalloc, malloc }) => `jemalloc ${mb(jemalloc)}, malloc ${mb(malloc)} more`).join('; '))
  assert.ok(left.at(-1).nothing, JSON.stringify(left))
  const { json } = await upload(child.port, '/read', {
    headers: { 'content-encoding': 'gzip' },
    pieces: [zlib.gzipSync(body)]
  })
  assert.deepEqual(json, { length: body.length })
})
