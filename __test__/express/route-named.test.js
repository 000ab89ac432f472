'use strict'

// `plimsoll.route(req, label)` names a route by hand.

const assert = require('node:assert/strict')
const http = require('node:http')
const http2 = require('node:http2')
const { once } = require('node:events')
const { test, describe } = require('node:test')
const plimsoll = require('../..')
const { request, serve, until } = require('../support/http.js')
const { versions } = require('../support/routes')

/** Rows as `METHOD label status`, once no request is in flight. */
async function rows() {
  const { routes, faults: internalErrors } = await until(() => {
    const stats = plimsoll.stats()
    return stats.requests.inFlight === 0 && stats
  }, 'no request in flight')
  assert.equal(internalErrors, 0)
  return routes.map(({ method, route, status }) => `${method} ${route} ${status}`)
}

for (const { version, express } of versions) {
  describe(`Express ${version}: a route that is named by hand`, () => {
    test('wins over the one that was seen, whenever it is named', async t => {
      const at = `/v${version}`
      const app = express()
      app.use((req, _res, next) => {
        if (req.url.endsWith('/early')) plimsoll.route(req, `${at}/named/early`)
        next()
      })
      app.use(plimsoll())
      app.get(`${at}/:id/late`, async (req, res) => {
        await null
        plimsoll.route(req, 'first')
        plimsoll.route(req, `GET ${at}/named/{late}`)
        res.end()
      })
      app.get(`${at}/:id/:kind`, (_req, res) => res.end())
      app.use((req, res) => {
        plimsoll.route(req, `rendered v${version}`)
        res.status(404).end()
      })
      const server = await serve(app)
      t.after(server.close)
      for (const path of ['/1/early', '/1/late', '/1/other', '/']) await request(server.port, at + path)
      const seen = await rows()
      for (const row of [
        `GET ${at}/named/early 2xx`,
        `GET ${at}/named/{late} 2xx`,
        `GET ${at}/:id/:kind 2xx`,
        `GET rendered v${version} 4xx`
      ])
        assert.ok(seen.includes(row), `${row} in ${seen}`)
      assert.ok(!seen.some(row => row.includes('first') || row.includes(':id/late')), `${seen}`)
    })
  })
}

for (const { version, express } of versions) {
  test(`Express ${version}: no text of a client makes route() throw, and what it shows is one short line`, async t => {
    const app = express()
    app.set('env', 'test')
    app.use(plimsoll(), express.text({ limit: '1mb' }))
    app.post('/query', (req, res) => {
      plimsoll.route(req, `v${version} ${req.body}`)
      res.end()
    })
    app.post('/empty', (req, res) => {
      plimsoll.route(req, `seen v${version}`)
      plimsoll.route(req, req.body.slice(1))
      res.end()
    })
    const server = await serve(app)
    t.after(server.close)
    const start = `v${version} `
    const labels = {
      'a\nb\r\n': `${start}a\ufffdb`,
      'tab\tescape\u001b[31m': `${start}tab\ufffdescape\ufffd[31m`,
      'next\u0085line\u2028': `${start}next\ufffdline`,
      'reversed\u202e': `${start}reversed\ufffd`,
      ['long'.repeat(100_000)]: `${start}${'long'.repeat(50)}`.slice(0, 200),
      [`${'x'.repeat(199 - start.length)}\u{1f6a2}`]: `${start}${'x'.repeat(199 - start.length)}`
    }
    const headers = { 'content-type': 'text/plain' }
    for (const body of Object.keys(labels))
      assert.equal((await request(server.port, '/query', { method: 'POST', headers, body })).status, 200)
    for (const body of ['x', 'x   ', 'x\n'])
      assert.equal((await request(server.port, '/empty', { method: 'POST', headers, body })).status, 200)
    const seen = await rows()
    for (const label of Object.values(labels)) assert.ok(seen.includes(`POST ${label} 2xx`), `${label} in ${seen}`)
    assert.ok(seen.includes(`POST seen v${version} 2xx`), 'an empty label changes nothing')
    assert.ok(!seen.some(row => row.startsWith('POST / ')), `${seen}`)
  })
}

test('under plain http, and in HTTP/2, a name is all that there is', async t => {
  const track = plimsoll()
  const handler = (req, res) => {
    track(req, res, () => {
      plimsoll.route(req, `GET /plain/${req.httpVersionMajor}/{id}`)
      res.end()
    })
  }
  const server = await serve(handler)
  t.after(server.close)
  await request(server.port, '/plain/1')
  const second = http2.createServer(handler).listen(0, '127.0.0.1')
  await once(second, 'listening')
  t.after(() => second.close())
  const session = http2.connect(`http://127.0.0.1:${second.address().port}`)
  t.after(() => session.close())
  const stream = session.request({ ':path': '/plain/2' }).resume()
  await once(stream, 'close')
  const seen = await rows()
  for (const row of ['GET /plain/1/{id} 2xx', 'GET /plain/2/{id} 2xx'])
    assert.ok(seen.includes(row), `${row} in ${seen}`)
})

test('a request in flight has its name in the record, and a refused one too', async t => {
  const track = plimsoll()
  const limit = plimsoll.limit('1kb')
  let answer
  const server = await serve((req, res) => {
    track(req, res, () => {
      plimsoll.route(req, 'POST /refused/{id}')
      limit(req, res, error => {
        res.statusCode = error?.status ?? 200
        answer = () => res.end()
        if (error) answer()
      })
    })
  })
  t.after(server.close)
  await request(server.port, '/refused/1', { method: 'POST', body: 'x'.repeat(5000) })
  const sent = request(server.port, '/refused/2', { method: 'POST', body: 'x' })
  await until(() => plimsoll.stats().requests.inFlight === 1 && answer !== undefined, 'a request in flight')
  answer()
  await sent
  const seen = await rows()
  for (const status of ['4xx', '2xx']) assert.ok(seen.includes(`POST /refused/{id} ${status}`), `${seen}`)
})

test('a method in front is dropped before a path and where it is the own one; what is long is cut', async t => {
  const track = plimsoll()
  const labels = {
    'POST /other/method': '/other/method',
    'GET users.list': 'users.list',
    'QUERY getUser': 'QUERY getUser',
    '  graphql Named ': 'graphql Named',
    'M-SEARCH /x': '/x',
    [`/${'long'.repeat(100)}`]: `/${'long'.repeat(100)}`.slice(0, 200)
  }
  const server = await serve((req, res) =>
    track(req, res, () => {
      plimsoll.route(req, decodeURIComponent(req.url.slice(1)))
      res.end()
    })
  )
  t.after(server.close)
  for (const label of Object.keys(labels)) await request(server.port, `/${encodeURIComponent(label)}`)
  const seen = await rows()
  for (const label of Object.values(labels)) assert.ok(seen.includes(`GET ${label} 2xx`), `${label} in ${seen}`)
})

test('more names than the table has rows are counted together, and nothing grows', async t => {
  const track = plimsoll()
  let number = 0
  const server = await serve((req, res) =>
    track(req, res, () => {
      for (let each = 0; each < 100; each++) plimsoll.route(req, `/many/${number++}`)
      res.end()
    })
  )
  t.after(server.close)
  for (let turn = 0; turn < 12; turn++) await request(server.port, '/')
  const seen = await rows()
  assert.ok(seen.includes('GET (other) 2xx'), `${seen}`)
})

test('what route() takes is checked', () => {
  const req = new http.IncomingMessage(null)
  req.method = 'GET'
  for (const bad of [undefined, null, 'GET /x', {}, 5])
    assert.throws(() => plimsoll.route(bad, '/x'), { name: 'TypeError', message: /route\(\)'s request/ })
  for (const bad of [undefined, null, 5, {}, ['/x'], Symbol('x'), Object('/x')])
    assert.throws(() => plimsoll.route(req, bad), { name: 'TypeError', message: /route\(\)'s label/ })
  assert.equal(plimsoll.route(req, '/never/begun'), undefined)
})
