'use strict'

// How `spool()` stores bodies, and what can be done with them.

// Otherwise Express and connect print the errors.
process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { AsyncLocalStorage } = require('node:async_hooks')
const fs = require('node:fs')
const http = require('node:http')
const http2 = require('node:http2')
const { once } = require('node:events')
const { join } = require('node:path')
const { pipeline } = require('node:stream/promises')
const { buffer } = require('node:stream/consumers')
const test = require('node:test')
const { pathToFileURL } = require('node:url')
const connect = require('connect')
const plimsoll = require('../..')
const { serve, request, until } = require('../support/http.js')
const { bytes, descriptors, inMemory, onDisk } = require('../support/spool.js')
const { errorPage, upload, split, wire, chunk, random, LAST_CHUNK } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }
const MEMORY = 10_000

async function served(t, app) {
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

/** An app with `spool` at /. Its handler responds with `handle(req)`: a Buffer as it is, other values as JSON. */
function appOf(express, spool, handle, errors = []) {
  const app = express()
  app.post('/', spool, (req, res, next) => {
    Promise.resolve(handle(req, res)).then(
      answer => (Buffer.isBuffer(answer) ? res.end(answer) : res.json(answer ?? {})),
      next
    )
  })
  app.use(errorPage(errors))
  return app
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    test('bodies of any size, in any split, declared or chunked, on one connection come back byte for byte', async t => {
      const dir = onDisk(t)
      let kinds = 0
      const app = appOf(express, plimsoll.spool({ memory: MEMORY, dir }), async req => {
        kinds |= descriptors(dir).length > 0 ? 2 : 1
        return req.body.buffer()
      })
      const { port } = await served(t, app)
      const next = random(7)
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
      t.after(() => agent.destroy())
      const sizes = [0, 1, MEMORY - 1, MEMORY, MEMORY + 1, 65_536, 65_537, 300_000]
      for (let i = 0; i < 12; i++) sizes.push(Math.floor(next() ** 3 * 1_000_000))
      for (const size of sizes) {
        const body = bytes(size, size + 1)
        const pieces = split(
          body,
          Array.from({ length: 6 }, () => 1 + Math.floor((next() ** 2 * size) / 2))
        )
        for (const headers of [{ 'content-length': size }, {}]) {
          const response = await new Promise((resolve, reject) => {
            const req = http.request({ port, method: 'POST', headers, agent }, res => buffer(res).then(resolve, reject))
            req.on('error', reject)
            for (const piece of pieces) req.write(piece)
            req.end()
          })
          assert.ok(response.equals(body), `${size} bytes ${JSON.stringify(headers)}`)
        }
      }
      assert.equal(kinds, 3, 'some were in memory, some in a file')
      await until(() => descriptors(dir).length === 0, 'all descriptors are closed')
      assert.deepEqual(fs.readdirSync(dir), [])
    })

    test('the error of a limit in front comes through, and everything is freed', async t => {
      const dir = onDisk(t)
      const errors = []
      const app = express()
      app.use(plimsoll.limit('1mb'))
      app.use(appOf(express, plimsoll.spool({ memory: MEMORY, dir }), () => assert.fail('not reached'), errors))
      app.use(errorPage(errors))
      const { port } = await served(t, app)
      const piece = bytes(100_000)
      for (const headers of [{}, { 'content-length': 3_000_000 }]) {
        const { status, json } = await upload(port, '/', { headers, pieces: Array(30).fill(piece) })
        assert.deepEqual([status, json.type, json.limit], [413, 'entity.too.large', 1 << 20])
      }
      assert.equal(errors.length, 2)
      await until(() => descriptors(dir).length === 0, 'all descriptors are closed')
    })

    test('leaves alone what has no body, is of another type, or was read by a parser in front', async t => {
      const spool = plimsoll.spool({ memory: MEMORY, type: ['image/*', 'application/octet-stream'] })
      const app = express()
      app.use(express.json())
      app.use(spool)
      app.use(plimsoll.spool({ type: 'image/png' }))
      app.use((req, res) => res.json({ size: req.body?.size, body: req.body }))
      const { port } = await served(t, app)
      const ask = async (method, type, body) =>
        JSON.parse((await request(port, '/', { method, headers: type && { 'content-type': type }, body })).body)
      assert.equal((await ask('POST', 'image/png; q=1', 'abc')).size, 3)
      assert.equal((await ask('POST', 'APPLICATION/octet-stream', 'abcd')).size, 4)
      assert.equal((await ask('POST', 'text/plain', 'abc')).size, undefined)
      assert.equal((await ask('GET')).size, undefined)
      assert.deepEqual((await ask('POST', 'application/json', '{"a":1}')).body, { a: 1 })
    })
  })
}

const express = versions['express 5']

test('reads as a buffer, as text, as JSON and as streams, all at once and again', async t => {
  const dir = onDisk(t)
  const value = { name: 'Ägir', list: Array.from({ length: 40_000 }, (_, i) => i) }
  const body = Buffer.from(`\ufeff${JSON.stringify(value)}`)
  for (const memory of [0, '10mb']) {
    const app = appOf(express, plimsoll.spool({ memory, dir }), async ({ body: spooled }) => {
      const all = () => [
        spooled.buffer(),
        buffer(spooled.stream()),
        buffer(spooled.stream()),
        spooled.text(),
        spooled.json()
      ]
      for (const [whole, one, two, text, json] of [await Promise.all(all()), await Promise.all(all())]) {
        assert.ok(whole.equals(body) && one.equals(body) && two.equals(body))
        assert.equal(text, body.toString().slice(1), 'without the byte order mark')
        assert.deepEqual(json, value)
      }
      return { size: spooled.size }
    })
    const { port } = await served(t, app)
    const { json } = await upload(port, '/', { pieces: [body] })
    assert.deepEqual(json, { size: body.length })
  }
})

test('a stream reads no further ahead than its consumer takes', async t => {
  const app = appOf(express, plimsoll.spool({ memory: 0, dir: onDisk(t) }), async req => {
    const stream = req.body.stream()
    await once(stream, 'readable')
    await new Promise(resolve => setTimeout(resolve, 50))
    assert.ok(stream.readableLength <= 128 * 1024, String(stream.readableLength))
    return buffer(stream).then(whole => ({ size: whole.length }))
  })
  const { port } = await served(t, app)
  const { json } = await upload(port, '/', { pieces: [bytes(2_000_000)] })
  assert.deepEqual(json, { size: 2_000_000 })
})

test('what a consumer keeps stays as it was, whatever the size and the pace', async t => {
  const dir = onDisk(t)
  const next = random(11)
  const pause = () => new Promise(resolve => (next() < 0.5 ? setImmediate(resolve) : setTimeout(resolve, next() * 3)))
  const kept = async (stream, slow) => {
    const chunks = []
    for await (const chunk of stream) {
      chunks.push(chunk)
      if (slow) await pause()
    }
    return Buffer.concat(chunks)
  }
  for (const memory of [0, '10mb']) {
    let body
    const app = appOf(versions['express 5'], plimsoll.spool({ memory, dir }), async req => {
      const cut = req.body.stream()
      const readers = Array.from({ length: 6 }, (_, i) => kept(req.body.stream(), i % 2 === 0))
      // A client that disconnects in the middle of a read.
      const closed = once(cut, 'close')
      cut.once('readable', () => cut.destroy())
      for (const whole of await Promise.all([...readers, req.body.buffer()])) assert.ok(whole.equals(body))
      await closed
      return { size: req.body.size }
    })
    const { port } = await served(t, app)
    for (const size of [1, 65_535, 65_536, 65_537, 131_072, 1_048_577, 2_500_000, Math.floor(next() * 3_000_000)]) {
      body = bytes(size, size)
      const { json } = await upload(port, '/', { pieces: [body] })
      assert.deepEqual(json, { size })
    }
    await until(() => descriptors(dir).length === 0, 'every descriptor is closed')
  }
})

test('what is no JSON is the 400 of express.json()', async t => {
  const { port } = await served(
    t,
    appOf(express, plimsoll.spool(), req => req.body.json())
  )
  const { status, json } = await upload(port, '/', { pieces: ['{"a":'] })
  assert.deepEqual([status, json.type], [400, 'entity.parse.failed'])
})

test('moveTo links a file into place where it can, with the mode that the umask leaves', async t => {
  const dir = onDisk(t)
  const body = bytes(100_000)
  const app = appOf(express, plimsoll.spool({ memory: MEMORY, dir }), async req => {
    const [fd] = descriptors(dir)
    const { ino } = fs.fstatSync(fd)
    await req.body.moveTo(join(dir, 'first'))
    await req.body.moveTo(pathToFileURL(join(dir, 'second')))
    assert.ok((await req.body.buffer()).equals(body), 'still readable')
    return { ino }
  })
  const { port } = await served(t, app)
  const { json } = await upload(port, '/', { pieces: [body] })
  const [first, second] = [fs.statSync(join(dir, 'first')), fs.statSync(join(dir, 'second'))]
  assert.equal(first.ino, json.ino, 'the file itself')
  assert.notEqual(second.ino, json.ino, 'a second one is a copy')
  fs.writeFileSync(join(dir, 'usual'), '')
  const { mode } = fs.statSync(join(dir, 'usual'))
  assert.deepEqual([first.mode, second.mode], [mode, mode])
  for (const name of ['first', 'second']) assert.ok(fs.readFileSync(join(dir, name)).equals(body))
  assert.deepEqual(fs.readdirSync(dir).sort(), ['first', 'second', 'usual'])
})

test('moveTo copies to another file system, and what is in memory', async t => {
  const dir = onDisk(t)
  const other = inMemory(t)
  if (other === null) return
  for (const size of [100, 5_000_000]) {
    const body = bytes(size)
    const target = join(other, String(size))
    const app = appOf(express, plimsoll.spool({ memory: MEMORY, dir }), req => req.body.moveTo(target))
    const { port } = await served(t, app)
    assert.equal((await upload(port, '/', { pieces: [body] })).status, 200)
    assert.ok(fs.readFileSync(target).equals(body))
  }
  assert.deepEqual(fs.readdirSync(other).sort(), ['100', '5000000'])
  assert.deepEqual(fs.readdirSync(dir), [])
})

test('moveTo overwrites nothing without the option, and names the problem', async t => {
  const dir = onDisk(t)
  const target = join(dir, 'target')
  fs.writeFileSync(target, 'older')
  for (const memory of [0, '1mb']) {
    const app = appOf(express, plimsoll.spool({ memory, dir }), async ({ body }) => {
      await assert.rejects(body.moveTo(target), { code: 'EEXIST', message: /target/ })
      await assert.rejects(body.moveTo(join(dir, 'no', 'such')), { code: 'ENOENT' })
      await assert.rejects(body.moveTo(dir, { overwrite: true }), { code: /EISDIR|EEXIST|ENOTEMPTY/ })
      await assert.rejects(body.moveTo(''), TypeError)
      await assert.rejects(body.moveTo(target, { overwite: true }), /overwite/)
      assert.equal(fs.readFileSync(target, 'utf8').length, 5)
      await body.moveTo(target, { overwrite: true })
    })
    const { port } = await served(t, app)
    assert.equal((await upload(port, '/', { pieces: ['newer'] })).body, '{}')
    assert.equal(fs.readFileSync(target, 'utf8'), 'newer')
    assert.deepEqual(fs.readdirSync(dir), ['target'])
  }
})

test('after the end every use is an error that says what to do, and a stream at work gets it too', async t => {
  const dir = onDisk(t)
  for (const memory of [0, '10mb']) {
    const errors = []
    let kept
    let stream
    let silent
    const app = appOf(express, plimsoll.spool({ memory, dir }), async req => {
      kept = req.body
      stream = kept.stream()
      stream.on('error', error => errors.push(error))
      silent = kept.stream().resume()
      silent.pause()
      await once(stream, 'readable')
      return {}
    })
    const { port } = await served(t, app)
    await upload(port, '/', { pieces: [bytes(1_000_000)] })
    const over = { code: 'ERR_PLIMSOLL_SPOOLED_OVER', message: /moveTo\(path\).*before the response ends/ }
    await until(() => errors.length > 0, 'its stream hears of it')
    assert.equal(errors[0].code, over.code)
    await until(() => silent.destroyed, 'one without a listener is destroyed without an uncaught error')
    for (const use of ['buffer', 'text', 'json']) await assert.rejects(kept[use](), over)
    await assert.rejects(kept.moveTo(join(dir, 'late')), over)
    await assert.rejects(buffer(kept.stream()), over)
    assert.equal(kept.size, 1_000_000)
    await until(() => descriptors(dir).length === 0, 'its descriptor is closed')
  }
})

test('pipelined bodies are each their own', async t => {
  const dir = onDisk(t)
  const app = appOf(express, plimsoll.spool({ memory: 10, dir }), async req => ({ text: await req.body.text() }))
  const { port } = await served(t, app)
  const line = await wire(port)
  const bodies = Array.from({ length: 5 }, (_, i) => `${i}`.repeat(5 + 5 * i))
  const head = 'POST / HTTP/1.1\r\nHost: x\r\n'
  line.write(
    ...bodies.map((body, i) =>
      i % 2 === 0
        ? `${head}Content-Length: ${body.length}\r\n\r\n${body}`
        : `${head}Transfer-Encoding: chunked\r\n\r\n${chunk(Buffer.from(body))}${LAST_CHUNK}`
    )
  )
  const found = await line.responses(5)
  assert.deepEqual(
    found.map(({ body }) => JSON.parse(body).text),
    bodies
  )
  line.socket.destroy()
})

test('goes on in the async context in which it was called', async t => {
  const storage = new AsyncLocalStorage()
  const app = express()
  app.use((_req, _res, next) => storage.run('mine', next))
  app.use(
    appOf(express, plimsoll.spool({ memory: 0, dir: onDisk(t) }), async req => {
      const stores = [storage.getStore()]
      for await (const _ of req.body.stream()) stores.push(storage.getStore())
      return { stores: [...new Set(stores)] }
    })
  )
  const { port } = await served(t, app)
  const { json } = await upload(port, '/', { pieces: [bytes(300_000)] })
  assert.deepEqual(json.stores, ['mine'])
})

test('works after the tracker, with limits on both sides, and with one of its own', async t => {
  const app = express()
  app.use(
    plimsoll(),
    plimsoll.limit('2mb'),
    plimsoll.spool({ memory: 0, limit: '1mb', dir: onDisk(t) }),
    plimsoll.limit('1.5mb')
  )
  app.post('/', (req, res) => res.json({ size: req.body.size }))
  app.use(errorPage([]))
  const { port } = await served(t, app)
  assert.deepEqual((await upload(port, '/', { pieces: [bytes(1 << 20)] })).json, { size: 1 << 20 })
  const { status, json } = await upload(port, '/', { pieces: [bytes(1 << 20), 'x'] })
  assert.deepEqual([status, json.limit], [413, 1 << 20])
})

test('works with connect over HTTP/2, and with plain http', async t => {
  const dir = onDisk(t)
  const body = bytes(400_000)
  const app = connect()
  app.use(plimsoll.spool({ memory: MEMORY, dir }))
  app.use((req, res) => pipeline(req.body.stream(), res).catch(() => res.destroy()))
  const server = http2.createServer(app).listen(0)
  await once(server, 'listening')
  const client = http2.connect(`http://localhost:${server.address().port}`)
  const stream = client.request({ ':method': 'POST' })
  stream.end(body)
  assert.ok((await buffer(stream)).equals(body))
  client.close()
  server.close()

  const spool = plimsoll.spool({ memory: MEMORY, dir })
  const { port } = await served(
    t,
    http.createServer((req, res) => spool(req, res, () => pipeline(req.body.stream(), res)))
  )
  assert.equal((await request(port, '/', { method: 'POST', body })).body.length, body.toString().length)
  await until(() => descriptors(dir).length === 0, 'all descriptors are closed')
})

test('a client that goes away is the error of body-parser, once, and all is freed', async t => {
  const dir = onDisk(t)
  const errors = []
  const { port } = await served(
    t,
    appOf(express, plimsoll.spool({ memory: 0, dir }), () => ({}), errors)
  )
  const line = await wire(port)
  line.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n', bytes(200_000))
  await until(() => descriptors(dir).length === 1, 'the file is open')
  line.socket.destroy()
  await until(() => errors.length > 0, 'the error')
  const { status, type, code, expected, received } = errors[0]
  assert.deepEqual([status, type, code, expected], [400, 'request.aborted', 'ECONNABORTED', 500_000])
  assert.ok(received <= 200_000)
  await until(() => descriptors(dir).length === 0, 'its descriptor is closed')
  assert.equal(errors.length, 1)
})

test('while the disk lags the socket is not read, and the body is whole all the same', async t => {
  const { native } = require('../../lib/core/addon.js')
  const { bodies } = require('../../lib/body/spooled-body.js')
  const { spoolWrite, spoolPoll } = native
  let lagging = true
  t.after(() => Object.assign(native, { spoolWrite, spoolPoll }))
  // The disk is fast here, so the report that there is room is delayed instead.
  native.spoolWrite = (handle, chunk) => spoolWrite(handle, chunk) || (lagging ? 1 : 0)
  native.spoolPoll = handle => (lagging ? 1 : spoolPoll(handle))
  const { port } = await served(
    t,
    appOf(express, plimsoll.spool({ memory: 0, dir: onDisk(t) }), req => ({ size: req.body.size }))
  )
  const size = 64 << 20
  const line = await wire(port)
  line.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`, Buffer.alloc(size))
  await until(() => bodies.size === 1, 'the body has begun')
  await new Promise(resolve => setTimeout(resolve, 300))
  const [handle] = bodies.keys()
  const taken = native.spoolSize(handle)
  assert.ok(taken > 0 && taken <= 128 * 1024, `${taken} bytes were taken`)
  lagging = false
  bodies.get(handle)()
  const [{ status, body }] = await line.responses(1)
  assert.deepEqual([status, JSON.parse(body).size], [200, size])
  line.socket.destroy()
})

test('a body with an early response is freed, and there is only one response', async t => {
  const dir = onDisk(t)
  const errors = []
  const app = express()
  app.use((_req, res, next) => {
    setTimeout(() => res.status(503).end('busy'), 100)
    next()
  })
  app.use(appOf(express, plimsoll.spool({ memory: 0, dir }), () => assert.fail('not reached'), errors))
  const { port } = await served(t, app)
  const line = await wire(port)
  line.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n', bytes(200_000))
  const [{ status }] = await line.responses(1)
  assert.equal(status, 503)
  await until(() => descriptors(dir).length === 0, 'its descriptor is closed')
  // The rest is discarded, and the connection continues.
  line.write(bytes(300_000), 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  assert.equal((await line.responses(2))[1].status, 404)
  assert.deepEqual(errors, [])
  line.socket.destroy()
})

test('options are checked at once', t => {
  const { spool } = plimsoll
  assert.throws(
    () => spool({ memroy: 1 }),
    /TypeError: plimsoll: spool\(\) has no option 'memroy' \(got 1\); it takes memory, dir/
  )
  assert.throws(() => spool({ memory: '1m' }), /spool\(\)'s memory takes a whole number of bytes.*got '1m'/)
  assert.throws(() => spool({ limit: -1 }), /spool\(\)'s limit takes/)
  assert.throws(() => spool({ type: 'png' }), /spool\(\)'s type takes a type like.*got 'png'/)
  assert.throws(() => spool({ type: [1] }), TypeError)
  assert.throws(() => spool({ dir: 1 }), /spool\(\)'s dir takes a string/)
  assert.throws(() => spool('1mb'), TypeError)
  const dir = onDisk(t)
  assert.throws(() => spool({ dir: join(dir, 'none') }), /TypeError.*spool\(\)'s dir takes a folder.*ENOENT.*none'/)
  fs.writeFileSync(join(dir, 'file'), '')
  assert.throws(() => spool({ dir: join(dir, 'file') }), /ENOTDIR/)
})

test('a folder in memory gets one warning', async t => {
  const dir = inMemory(t)
  if (dir === null) return
  const warnings = []
  const hear = warning => warnings.push(warning)
  process.on('warning', hear)
  t.after(() => process.off('warning', hear))
  plimsoll.spool({ dir })
  plimsoll.spool({ dir })
  await new Promise(setImmediate)
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['PLIMSOLL_SPOOL']
  )
  assert.ok(warnings[0].message.includes(dir), warnings[0].message)
})
