'use strict'

// One budget for the bodies of all requests in flight: what is refused, and that no part of it is ever lost.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const test = require('node:test')
const { promisify } = require('node:util')
const { Worker } = require('node:worker_threads')
const multer = require('multer')
const plimsoll = require('../..')
const { addressOf } = require('../../lib/body/budget.js')
const { native } = require('../../lib/core/addon.js')
const { serve, request, connect, until } = require('../support/http.js')
const { errorPage, upload, wire, chunk, LAST_CHUNK, random } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }
const CHUNKED = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
const declared = length => `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`
const inFlight = () => native.budgetInFlight()

async function allReleased() {
  await until(() => inFlight() === 0, 'all of the budget is released')
  await until(() => plimsoll.stats().requests.inFlight === 0, 'no request is in flight')
  assert.equal(plimsoll.stats().requests.bodyHeldBytes, 0)
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    /** An app whose handler reads the body and responds when it is released. */
    async function served(t, options, handler) {
      const held = []
      const app = express()
      app.use(plimsoll())
      app.use(plimsoll.limit({ limit: '1gb', ...options }))
      app.post(
        '/',
        handler ??
          ((req, res, next) => {
            req.on('error', next)
            req.resume().on('end', () => held.push(() => res.send('held')))
          })
      )
      app.get('/', (_req, res) => res.send('hello'))
      app.use((error, _req, res, next) => {
        if (res.headersSent) return next(error)
        const { status, type, limit, inFlight, length, received, retryAfterS, message } = error
        res.set(error.headers ?? {}).status(status ?? 500)
        res.json({ type, limit, inFlight, length, received, retryAfterS, message })
      })
      const server = await serve(app)
      t.after(() => server.close())
      return { ...server, held }
    }

    test('refuses a body without room with 503 and Retry-After, and takes it when there is room', async t => {
      const { port, held } = await served(t, { budget: 10_000 })
      const before = plimsoll.stats().requests
      const first = upload(port, '/', { headers: { 'content-length': 6000 }, pieces: [Buffer.alloc(6000)] })
      const second = upload(port, '/', { pieces: [Buffer.alloc(3000)] })
      await until(() => held.length === 2, 'two are held')
      assert.equal(inFlight(), 9000)
      assert.equal(plimsoll.stats().requests.bodyHeldBytes, 9000)
      for (const [headers, detail] of [
        [{ 'content-length': 1001 }, { length: 1001 }],
        [{}, { received: 1001 }]
      ]) {
        const refused = await upload(port, '/', { headers, pieces: [Buffer.alloc(1001)] })
        assert.equal(refused.status, 503)
        const { retryAfterS, inFlight: others, ...rest } = refused.json
        assert.deepEqual(rest, {
          type: 'budget.exceeded',
          limit: 10_000,
          message: 'too many request bodies in flight',
          ...detail
        })
        assert.equal(refused.headers['retry-after'], String(retryAfterS))
        assert.ok(retryAfterS >= 1 && retryAfterS <= 5 && others >= 9000)
      }
      assert.equal((await request(port, '/')).body, 'hello', 'who has no body needs no room')
      const exact = upload(port, '/', { headers: { 'content-length': 1000 }, pieces: [Buffer.alloc(1000)] })
      await until(() => held.length === 3, 'exactly the budget is given out')
      for (const release of held.splice(0)) release()
      assert.deepEqual(
        await Promise.all([first, second, exact].map(async each => (await each).status)),
        [200, 200, 200]
      )
      await allReleased()
      const { overBudget, limited } = plimsoll.stats().requests
      assert.deepEqual([overBudget, limited], [before.overBudget + 2, before.limited])
      const metrics = await plimsoll.metrics.text()
      assert.match(metrics, /^plimsoll_http_requests_over_budget_total [1-9]/m)
      assert.match(metrics, /^plimsoll_http_body_held_bytes \d/m)
    })

    test('a declared length is reserved before a byte of it has come', async t => {
      const { port } = await served(t, { budget: 10_000 })
      const client = await wire(port)
      client.write(declared(8000))
      await until(() => inFlight() === 8000, 'it is reserved')
      const refused = await upload(port, '/', { headers: { 'content-length': 2001 }, pieces: [Buffer.alloc(2001)] })
      assert.equal(refused.status, 503)
      client.socket.destroy()
      await allReleased()
    })

    test('a body larger than all of the budget is too large, whenever it comes', async t => {
      const { port } = await served(t, { budget: 1000 })
      const { status, json } = await upload(port, '/', {
        headers: { 'content-length': 1001 },
        pieces: [Buffer.alloc(1001)]
      })
      assert.deepEqual([status, json.type, json.limit], [413, 'entity.too.large', 1000])
      await allReleased()
    })

    test('half-read bodies never wait for each other', async t => {
      const { port } = await served(t, { budget: 10_000 }, (req, res, next) => {
        req.on('error', next)
        req.resume().on('end', () => res.send('whole'))
      })
      const clients = await Promise.all(Array.from({ length: 20 }, () => wire(port)))
      for (const client of clients) client.write(CHUNKED, chunk(Buffer.alloc(900)))
      const answered = () => clients.filter(client => client.text() !== '')
      await until(() => answered().length >= 9, 'those that have no room are told')
      for (const client of clients) if (client.text() === '') client.write(LAST_CHUNK)
      const statuses = await Promise.all(clients.map(async client => (await client.responses(1))[0].status))
      assert.equal(statuses.filter(status => status === 200).length, 11)
      assert.equal(statuses.filter(status => status === 503).length, 9)
      for (const client of clients) client.socket.destroy()
      await allReleased()
    })

    test('is released however a request ends', async t => {
      const handlers = {
        answers: (_req, res) => res.send('no'),
        throws: () => {
          throw new Error('thrown')
        },
        'destroys the response': (_req, res) => res.destroy(),
        'destroys the request': req => req.destroy(),
        'never answers': req => req.resume(),
        'answers at the end': (req, res) => req.resume().on('end', () => res.send('whole'))
      }
      for (const [how, handler] of Object.entries(handlers)) {
        const { port, server } = await served(t, { budget: '1mb', limit: 50_000 }, handler)
        const clients = []
        let requests = 0
        server.on('request', () => {
          requests += 1
        })
        for (const parts of [
          [declared(2000), Buffer.alloc(2000)],
          [declared(2000), Buffer.alloc(500)],
          [declared(60_000)],
          [CHUNKED, chunk(Buffer.alloc(1000))],
          [CHUNKED, chunk(Buffer.alloc(1000)), LAST_CHUNK],
          [CHUNKED, chunk(Buffer.alloc(60_000))],
          [CHUNKED, chunk(Buffer.alloc(100)), LAST_CHUNK, CHUNKED, chunk(Buffer.alloc(100)), LAST_CHUNK, declared(100)]
        ]) {
          const client = await wire(port)
          client.write(...parts)
          clients.push(client)
        }
        await until(() => requests >= 7, `${how}: they have come`)
        for (const client of clients) client.socket.destroy()
        await until(() => inFlight() === 0, `all is released when a handler ${how}`)
      }
      await allReleased()
    })

    test('a tighter bound on it, nearer to the route, counts as well; with report it only counts', async t => {
      const app = express()
      app.use(plimsoll.limit({ limit: '1mb', budget: 10_000 }))
      app.post('/near', plimsoll.limit({ limit: '1mb', budget: 1000, report: false }))
      app.use((req, res) => req.resume().on('end', () => res.send('whole')))
      app.use(errorPage([]))
      const { port } = await (async () => {
        const server = await serve(app)
        t.after(() => server.close())
        return server
      })()
      assert.equal((await upload(port, '/', { pieces: [Buffer.alloc(5000)] })).status, 200)
      assert.equal((await upload(port, '/near', { pieces: [Buffer.alloc(1000)] })).status, 200)
      assert.equal((await upload(port, '/near', { pieces: [Buffer.alloc(1001)] })).status, 413)
      const reporting = await served(t, { budget: 1000, report: true }, (req, res) =>
        req.resume().on('end', () => res.send('whole'))
      )
      const before = plimsoll.stats().requests
      for (const headers of [{ 'content-length': 1001 }, {}]) {
        const pieces = [Buffer.alloc(600), Buffer.alloc(401)]
        assert.equal((await upload(reporting.port, '/', { headers, pieces })).body, 'whole')
      }
      const { limitReported, overBudget } = plimsoll.stats().requests
      assert.deepEqual([limitReported, overBudget], [before.limitReported + 2, before.overBudget])
      await allReleased()
    })

    test('nothing is left after a storm of uploads that are each cut at a random byte', async t => {
      const COUNT = Number(process.env.PLIMSOLL_STORM ?? 1000)
      const next = random(20_261_122)
      const app = express()
      app.use(plimsoll())
      app.use(plimsoll.limit({ limit: 40_000, budget: '600kb', minRate: 1 }))
      app.post('/raw', express.raw({ type: () => true }), (req, res) => res.json(req.body.length))
      app.post('/multer', multer().single('file'), (_req, res) => res.json({}))
      app.post('/data', (req, res) => req.resume().on('end', () => res.json({})))
      app.post('/answers', (_req, res) => res.json({}))
      app.use(errorPage([]))
      const { port, server } = await serve(app)
      t.after(() => server.closeAllConnections())
      const taps = () => {
        const handle = native.tapOpen(0)
        native.tapClose(handle)
        return handle & 0xffff
      }
      const tapsBefore = taps()
      const paths = ['/raw', '/multer', '/data', '/answers']
      const form = '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
      const one = async index => {
        const length = Math.floor(next() * 60_000)
        const head = `POST ${paths[index % 4]} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n`
        const whole =
          index % 2 === 0
            ? Buffer.concat([Buffer.from(`${head}Content-Length: ${length}\r\n\r\n`), Buffer.alloc(length, form)])
            : Buffer.concat([
                Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n`),
                chunk(Buffer.alloc(length / 2, form)),
                chunk(Buffer.alloc(length / 2, 'x'))
              ])
        const { socket } = await connect(port)
        const at = Math.floor(next() * whole.length)
        await new Promise(resolve => socket.write(whole.subarray(0, at), resolve))
        if (index % 3 === 0) socket.resetAndDestroy()
        else if (index % 3 === 1) socket.destroy()
        else socket.end()
        await until(() => socket.destroyed || socket.writableFinished, 'it is gone')
        if (!socket.destroyed) socket.destroy()
      }
      let started = 0
      await Promise.all(
        Array.from({ length: 40 }, async () => {
          while (started < COUNT) await one(started++)
        })
      )
      const connections = () => new Promise(resolve => server.getConnections((_error, count) => resolve(count)))
      await until(async () => (await connections()) === 0, 'no connection is left')
      await allReleased()
      assert.ok(taps() <= tapsBefore + 60, `taps are left: ${tapsBefore}, then ${taps()}`)
      server.close()
      await once(server, 'close')
    })
  })
}

// A claim costs nothing

/** An app like the README's: large uploads at one route, small bodies at the others. */
async function shop(t, options) {
  const express = versions['express 5']
  const app = express()
  app.use(plimsoll())
  app.use(plimsoll.limit({ limit: '1mb', routes: { 'POST /uploads/:id': '1gb' }, ...options }))
  const read = (req, res, next) => {
    let bytes = 0
    req.on('data', data => {
      bytes += data.length
    })
    req.on('error', next).on('end', () => res.json({ bytes }))
  }
  app.post('/uploads/:id', read)
  app.post('/json', express.json(), (_req, res) => res.json({}))
  app.use(errorPage([]))
  const server = await serve(app)
  t.after(() => server.close())
  return server
}

const json = port =>
  request(port, '/json', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":1}' })
const GIGABYTE = 2 ** 30

test('slow uploads that claim more than the budget take no room from honest ones, small or large', async t => {
  const { port } = await shop(t, { budget: '2gb', minRate: '1kb' })
  const slow = await Promise.all(Array.from({ length: 100 }, () => wire(port)))
  t.after(() => slow.forEach(client => void client.socket.destroy()))
  const head = `POST /uploads/1 HTTP/1.1\r\nHost: x\r\nContent-Length: ${GIGABYTE}\r\n\r\n`
  for (const client of slow) client.write(head, Buffer.alloc(1200))
  await until(() => inFlight() >= 100 * 1200, 'they have come')
  for (let i = 0; i < 50; i++) {
    for (const client of slow) client.write(Buffer.alloc(100))
    assert.equal((await json(port)).status, 200)
  }
  const pieces = Array.from({ length: 320 }, () => Buffer.alloc(65_536))
  const large = await Promise.all(
    Array.from({ length: 4 }, () => upload(port, '/uploads/2', { headers: { 'content-length': 320 * 65_536 }, pieces }))
  )
  assert.deepEqual(
    large.map(({ json }) => json),
    Array(4).fill({ bytes: 320 * 65_536 })
  )
  assert.ok(inFlight() <= 100 * (65_536 + 1200 + 5000), `the slow hold ${inFlight()}`)
  for (const client of slow) client.socket.destroy()
  await allReleased()
})

test('large bodies that hold all they may leave room for small ones', async t => {
  const { port } = await shop(t, { budget: '8mb' })
  const large = await Promise.all(Array.from({ length: 20 }, () => wire(port)))
  t.after(() => large.forEach(client => void client.socket.destroy()))
  for (const client of large) client.write('POST /uploads/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
  const alive = () => large.filter(client => client.text() === '')
  for (let i = 0; i < 20; i++) for (const client of alive()) client.write(chunk(Buffer.alloc(50_000)))
  await until(() => alive().length < 20, 'they hold all they may')
  for (let i = 0; i < 20; i++) assert.equal((await json(port)).status, 200)
  for (const client of large) client.socket.destroy()
  await allReleased()
})

test('of bodies that together are too large some come through, and none waits', async t => {
  const { port } = await shop(t, { budget: '4mb' })
  const clients = await Promise.all(Array.from({ length: 8 }, () => wire(port)))
  t.after(() => clients.forEach(client => void client.socket.destroy()))
  const half = Buffer.alloc(800_000)
  for (const client of clients)
    client.write('POST /uploads/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1600000\r\n\r\n', half)
  await until(() => clients.some(client => client.text() !== '') || inFlight() >= 3_000_000, 'they have come')
  for (const client of clients) if (client.text() === '') client.write(half)
  const statuses = await Promise.all(clients.map(async client => (await client.responses(1))[0].status))
  assert.ok(statuses.includes(200) && statuses.includes(503), statuses.join())
  for (const client of clients) client.socket.destroy()
  await allReleased()
})

test('perClient bounds what the bodies of one client hold, by its address or as the app names it', async t => {
  const byAddress = await shop(t, { budget: { bytes: '10mb', perClient: '100kb' } })
  const byName = await shop(t, {
    budget: { bytes: '10mb', perClient: '100kb', client: req => req.headers['x-client'] }
  })
  const open = async (port, name) => {
    const client = await wire(port)
    client.write(
      `POST /uploads/1 HTTP/1.1\r\nHost: x\r\nX-Client: ${name}\r\nContent-Length: 90000\r\n\r\n`,
      Buffer.alloc(89_999)
    )
    return client
  }
  const ask = (port, name) =>
    request(port, '/json', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-client': name },
      body: JSON.stringify({ a: 'x'.repeat(20_000) })
    })
  for (const { port } of [byAddress, byName]) {
    const client = await open(port, 'one')
    await until(() => inFlight() === 90_000, 'it has come')
    assert.equal((await ask(port, 'one')).status, 503)
    assert.equal((await ask(port, 'other')).status, port === byName.port ? 200 : 503)
    client.socket.destroy()
    await allReleased()
    assert.equal((await ask(port, 'one')).status, 200)
  }
  await allReleased()
})

test('a client without a name is no internal error, and shares one bound with the others', async t => {
  const { port } = await shop(t, {
    budget: { bytes: '10mb', perClient: '100kb', client: req => req.headers['x-client'] }
  })
  const { faults: internalErrors } = plimsoll.stats()
  const client = await wire(port)
  t.after(() => client.socket.destroy())
  client.write('POST /uploads/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n', Buffer.alloc(89_999))
  await until(() => inFlight() === 90_000, 'it has come')
  const body = JSON.stringify({ a: 'x'.repeat(20_000) })
  const headers = { 'content-type': 'application/json' }
  assert.equal((await request(port, '/json', { method: 'POST', headers, body })).status, 503)
  client.socket.destroy()
  await allReleased()
  assert.equal(plimsoll.stats().faults, internalErrors)
})

test('a client is its address, and of IPv6 its network', () => {
  for (const [address, client] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::9', '2001:db8:1:2'],
    ['2001:db8::9', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    [undefined, '']
  ]) {
    const named = addressOf({ socket: { remoteAddress: address } })
    assert.equal(named.replace(/^:/, '0:').replace(/^0?:/, '0:'), client.replace(/^0?:/, '0:'), address)
  }
})

test('what is no client or share is a TypeError', () => {
  for (const [budget, message] of [
    [{ bytes: 1, perClient: '1m' }, /budget\.perClient takes a whole number of bytes/],
    [{ bytes: 1, client: () => 'x' }, /budget\.client takes a function, together with perClient/],
    [{ bytes: 1, perClient: 1, client: 'ip' }, /budget\.client takes a function of the request/],
    [{ perClient: 1 }, /budget\.bytes takes a whole number of bytes/],
    [{ bytes: 1, share: 1 }, /budget has no option 'share'/]
  ])
    assert.throws(() => plimsoll.limit({ limit: 1, budget }), message)
})

test('is shared by all worker threads, and given back when one is ended with requests in flight', async t => {
  const express = require('express')
  const worker = new Worker(path.join(__dirname, '..', 'apps', 'budget-worker.js'), { workerData: { budget: 10_000 } })
  const [{ port }] = await once(worker, 'message')
  const holding = upload(port, '/', { headers: { 'content-length': 8000 }, pieces: [Buffer.alloc(8000)] }).catch(
    () => {}
  )
  const [{ held }] = await once(worker, 'message')
  assert.deepEqual([held, inFlight()], [8000, 8000])
  const app = express()
  app.use(plimsoll.limit({ limit: '1mb', budget: 10_000 }))
  app.use((req, res) => req.resume().on('end', () => res.send('whole')))
  app.use(errorPage([]))
  const server = await serve(app)
  t.after(() => server.close())
  const send = () => upload(server.port, '/', { headers: { 'content-length': 2001 }, pieces: [Buffer.alloc(2001)] })
  assert.equal((await send()).status, 503)
  await worker.terminate()
  await holding
  await until(() => inFlight() === 0, 'the share of the thread is given back')
  assert.equal((await send()).body, 'whole')
})

test('holds without a binary, in JavaScript', async () => {
  const program = `
    const http = require('node:http')
    const plimsoll = require(${JSON.stringify(path.join(__dirname, '..', '..'))})
    const guard = plimsoll.limit({ limit: '1mb', budget: 1000 })
    const server = http.createServer((req, res) => guard(req, res, error => {
      if (error) return res.writeHead(error.status, error.headers).end(error.type)
      req.resume().on('end', () => setTimeout(() => res.end('whole'), 100))
    }))
    server.listen(0, async () => {
      const send = body => fetch('http://127.0.0.1:' + server.address().port, { method: 'POST', body })
      const first = send('x'.repeat(600))
      await new Promise(resolve => server.once('request', resolve))
      const second = await send('x'.repeat(600))
      const third = await first.then(() => send('x'.repeat(1000)))
      console.log((await first).status, second.status, await second.text(), third.status)
      process.exit()
    })`
  const env = { ...process.env, NODE_TEST_CONTEXT: '', PLIMSOLL: 'off' }
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { env })
  assert.equal(stdout, '200 503 budget.exceeded 200\n')
})

test('what is no budget is a TypeError', () => {
  for (const budget of ['10m', -1, true, null]) {
    assert.throws(() => plimsoll.limit({ limit: 1, budget }), /limit\(\)'s budget takes a whole number of bytes/)
  }
})
