'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const connectMiddleware = require('connect')
const plimsoll = require('../..')
const { serve, request, connect, until } = require('../support/http.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }

/** Rows of a route, all status classes. */
function rows(route) {
  return plimsoll.stats().routes.filter(row => row.route === route)
}

function count(route) {
  return rows(route).reduce((sum, row) => sum + row.count, 0)
}

async function nothingInFlight() {
  await until(() => plimsoll.stats().requests.inFlight === 0, 'no request in flight')
}

let unique = 0
/** A route that no other test uses. */
function fresh(name) {
  unique += 1
  return `/${name}-${unique}`
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    /** An app with plimsoll and `handler` at a route of its own. Passes that route and the server to `use`. */
    async function withApp(name, method, handler, use) {
      const route = fresh(name)
      const app = express()
      app.use(plimsoll())
      app[method](route, handler)
      // Errors of handlers are part of the tests; Express would print them.
      app.use((error, _req, res, _next) => {
        if (!res.headersSent) res.status(error.status ?? 500).end()
      })
      const server = await serve(app)
      try {
        await use(route, server)
        await nothingInFlight()
      } finally {
        await server.close()
      }
    }

    test('counts a finished request once, under its route, with what was sent', async () => {
      const handler = (_req, res) => res.json({ ok: 1 })
      await withApp('finished', 'get', handler, async (route, { port }) => {
        const { headers, body } = await request(port, route)
        await until(() => count(route) === 1, 'the request is counted')
        const [row] = rows(route)
        assert.equal(row.status, '2xx')
        assert.equal(row.aborted, 0)
        assert.ok(row.responseBytes.mean > body.length, 'head and body')
        assert.ok(row.responseBytes.mean < body.length + 1000 + Object.keys(headers).length)
        assert.ok(row.durationMs.mean > 0 && row.durationMs.mean < 60_000)
      })
    })

    test('knows a request in flight, its route, and what it used so far', async () => {
      let release
      const seen = []
      const handler = (req, res) => {
        const held = new Array(10_000).fill(1.5)
        seen.push(plimsoll.usage(req))
        if (req.query.wait) release = () => res.json(held.length)
        else res.json(held.length)
      }
      await withApp('in-flight', 'get', handler, async (route, { port }) => {
        for (let i = 0; i < 10; i++) await request(port, route)
        const response = request(port, `${route}?wait=1`)
        await until(() => release, 'the handler runs')
        // A single reading can be off, even negative, during concurrent sweeping. The median of eleven is not.
        const bytes = seen.map(usage => usage.heapBytes).sort((a, b) => a - b)
        assert.ok(bytes[5] >= 80_000 && bytes[5] < 1_000_000, `${bytes}`)
        assert.ok(seen.every(usage => usage.spans === 1))
        assert.equal(plimsoll.stats().requests.inFlight, 1)
        release()
        await response
      })
    })

    test('books a thrown error and a rejected promise as 5xx of their route', async () => {
      await withApp(
        'throws',
        'get',
        () => {
          throw new Error('on purpose')
        },
        async (route, { port }) => {
          assert.equal((await request(port, route)).status, 500)
          await until(() => count(route) === 1, 'the request is counted')
          assert.deepEqual([rows(route)[0].status, rows(route)[0].errors], ['5xx', 1])
        }
      )
      const rejects = (_req, _res, next) => Promise.reject(new Error('on purpose')).catch(next)
      await withApp('rejects', 'get', rejects, async (route, { port }) => {
        assert.equal((await request(port, route)).status, 500)
        await until(() => rows(route)[0]?.errors === 1, 'the request is counted')
      })
    })

    test('ends with a client that goes away in the middle of its upload', async () => {
      const handler = (req, res) => req.resume().on('end', () => res.end())
      await withApp('upload', 'post', handler, async (route, { port }) => {
        const before = plimsoll.stats().requests.bodyBytes
        const { socket } = await connect(port)
        socket.write(`POST ${route} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(5000)}`)
        await until(() => plimsoll.stats().requests.inFlight === 1, 'the upload is in flight')
        await until(() => plimsoll.stats().requests.bodyBytes === before + 5000, 'its bytes are counted')
        socket.destroy()
        await until(() => rows(route)[0]?.aborted === 1, 'the request is counted as aborted')
        assert.equal(rows(route)[0].status, '4xx', 'nothing was answered: the client closed')
        assert.equal(rows(route)[0].bodyBytes.mean, 5000)
      })
    })

    test('ends with a client that goes away in the middle of its download', async () => {
      let piece
      const handler = (_req, res) => {
        res.writeHead(200)
        piece = setInterval(() => res.write('x'.repeat(1000)), 5)
        res.on('close', () => clearInterval(piece))
      }
      await withApp('download', 'get', handler, async (route, { port }) => {
        const { socket, received } = await connect(port)
        socket.write(`GET ${route} HTTP/1.1\r\nHost: x\r\n\r\n`)
        await until(() => received().length > 2000, 'some of it has come')
        socket.destroy()
        await until(() => rows(route)[0]?.aborted === 1, 'the request is counted as aborted')
        assert.equal(rows(route)[0].status, '2xx')
        assert.ok(rows(route)[0].responseBytes.mean >= 2000)
      })
    })

    test('ends when the server destroys the request or the response', async () => {
      for (const victim of ['req', 'res']) {
        const handler = (req, res) => (victim === 'req' ? req : res).destroy()
        await withApp(`destroy-${victim}`, 'get', handler, async (route, { port }) => {
          await assert.rejects(request(port, route))
          await until(() => rows(route)[0]?.aborted === 1, 'the request is counted as aborted')
        })
      }
    })

    test('counts each of many requests on a kept-alive connection, with its own bytes', async () => {
      const handler = (_req, res) => res.send('x'.repeat(500))
      await withApp('keep-alive', 'get', handler, async (route, { port }) => {
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
        for (let i = 0; i < 20; i++) await request(port, route, { agent })
        agent.destroy()
        await until(() => count(route) === 20, 'all are counted')
        const [{ responseBytes }] = rows(route)
        assert.ok(responseBytes.max - responseBytes.min < 20, `alike: ${responseBytes.min} to ${responseBytes.max}`)
      })
    })

    test('counts pipelined requests, and frees those that the client abandoned', async () => {
      const waiting = []
      const handler = (_req, res) => waiting.push(res)
      await withApp('pipelined', 'get', handler, async (route, { port }) => {
        const get = `GET ${route} HTTP/1.1\r\nHost: x\r\n\r\n`
        const finished = await connect(port)
        finished.socket.write(get.repeat(5))
        await until(() => waiting.length === 5, 'five have come')
        for (const res of waiting.splice(0)) res.end('done')
        await until(() => finished.received().split('done').length === 6, 'five were answered')
        await until(() => count(route) === 5, 'five are counted')
        finished.socket.destroy()

        const abandoned = await connect(port)
        abandoned.socket.write(get.repeat(5))
        await until(() => waiting.length === 5, 'five more have come')
        assert.equal(plimsoll.stats().requests.inFlight, 5)
        abandoned.socket.destroy()
        await until(() => count(route) === 10, 'all ten are counted')
        assert.equal(
          rows(route).reduce((sum, row) => sum + row.aborted, 0),
          5
        )
      })
    })

    test('keeps a pipelined upload in flight until its own answer, though it was read to its end', async () => {
      const waiting = []
      const handler = (req, res) => req.resume().on('end', () => waiting.push(res))
      await withApp('pipelined-uploads', 'post', handler, async (route, { port }) => {
        const { socket, received } = await connect(port)
        socket.write(`POST ${route} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`.repeat(3))
        await until(() => waiting.length === 3, 'three were read')
        await new Promise(setImmediate)
        assert.equal(plimsoll.stats().requests.inFlight, 3)
        assert.equal(count(route), 0)
        for (const res of waiting.reverse()) res.end('done')
        await until(() => received().split('done').length === 4, 'three were answered')
        await until(() => count(route) === 3, 'three are counted')
        assert.deepEqual([rows(route)[0].aborted, rows(route)[0].bodyBytes.sum], [0, 15])
        socket.destroy()
      })
    })

    test('counts HEAD, 304 and 204', async () => {
      const handler = (req, res) => {
        if (req.query.empty) return res.status(204).end()
        res.set('etag', '"v1"')
        res.send('content')
      }
      await withApp('bodiless', 'get', handler, async (route, { port }) => {
        assert.equal((await request(port, route, { method: 'HEAD' })).body, '')
        assert.equal((await request(port, route, { headers: { 'if-none-match': '"v1"' } })).status, 304)
        assert.equal((await request(port, `${route}?empty=1`)).status, 204)
        await until(() => count(route) === 3, 'all are counted')
        const found = rows(route).map(row => `${row.method} ${row.status} ${row.aborted}`)
        assert.deepEqual(found.sort(), ['GET 2xx 0', 'GET 3xx 0', 'HEAD 2xx 0'])
      })
    })

    test('ends an exchange that announced its body with Expect: 100-continue', async () => {
      const handler = (req, res) => req.resume().on('end', () => res.send('thanks'))
      await withApp('expect', 'post', handler, async (route, { port }) => {
        const { socket, received } = await connect(port)
        socket.write(`POST ${route} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`)
        await until(() => received().startsWith('HTTP/1.1 100'), 'the server says go on')
        socket.write('hello')
        await until(() => received().endsWith('thanks'), 'the answer')
        await until(() => count(route) === 1, 'it is counted')
        assert.equal(rows(route)[0].bodyBytes.sum, 5)
        socket.destroy()
      })
    })

    test('ends with its socket when the response was detached from it', async () => {
      let detached
      const handler = (req, res) => {
        detached = req.socket
        res.detachSocket(detached)
        detached.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
      }
      await withApp('detached', 'get', handler, async (route, { port }) => {
        const { socket, received } = await connect(port)
        socket.write(`GET ${route} HTTP/1.1\r\nHost: x\r\n\r\n`)
        await until(() => received().includes('101'), 'the switch')
        socket.destroy()
        await until(() => count(route) === 1, 'it is counted once the socket has closed')
      })
    })

    test('ends an upgraded request that was sent through the app', async () => {
      const route = fresh('upgrade')
      const app = express()
      app.use(plimsoll())
      app.get(route, (_req, res) => {
        res.writeHead(101, { connection: 'upgrade', upgrade: 'echo' })
        res.end()
      })
      const server = await serve(app)
      server.server.on('upgrade', (req, socket) => {
        const res = new http.ServerResponse(req)
        res.assignSocket(socket)
        socket.on('error', () => {})
        socket.resume().on('end', () => socket.end())
        app(req, res)
      })
      const { socket } = await connect(server.port)
      socket.write(`GET ${route} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n`)
      await until(
        () => plimsoll.stats().requests.total > 0 && (count(route) === 1 || plimsoll.stats().requests.inFlight === 1),
        'it came'
      )
      socket.destroy()
      await until(() => count(route) === 1, 'it is counted')
      await nothingInFlight()
      await server.close()
    })

    test('lets a request that is tracked already pass a second plimsoll()', async () => {
      const route = fresh('twice')
      const inner = express()
      inner.use(plimsoll())
      inner.get(route, (_req, res) => res.end())
      const app = express()
      app.use(plimsoll())
      app.use('/mounted', inner)
      const server = await serve(app)
      const before = plimsoll.stats().requests.total
      await request(server.port, `/mounted${route}`)
      await until(() => count(`/mounted${route}`) === 1, 'it is counted')
      assert.equal(plimsoll.stats().requests.total, before + 1)
      await server.close()
    })

    test('puts requests that no route took under (unmatched)', async () => {
      const before = count('(unmatched)')
      await withApp(
        'matched',
        'get',
        (_req, res) => res.end(),
        async (_route, { port }) => {
          assert.equal((await request(port, '/no/such/place/1234')).status, 404)
          await until(() => count('(unmatched)') === before + 1, 'it is counted')
        }
      )
    })
  })
}

test('works under connect and plain http', async () => {
  const app = connectMiddleware()
  app.use(plimsoll())
  app.use((_req, res) => res.end('connect'))
  const server = await serve(app)
  const before = count('(unmatched)')
  assert.equal((await request(server.port, '/')).body, 'connect')
  await server.close()

  const track = plimsoll()
  const plain = await serve((req, res) => track(req, res, () => res.end('http')))
  assert.equal((await request(plain.port, '/')).body, 'http')
  await until(() => count('(unmatched)') === before + 2, 'both are counted')
  await plain.close()
})

test('says what is not attributed: allocated is attributed plus unattributed', () => {
  const { heap, gc } = plimsoll.stats()
  assert.equal(heap.exact, true, heap.reason)
  assert.equal(heap.allocatedBytes, heap.attributedBytes + heap.unattributedBytes)
  assert.ok(heap.attributedBytes > 0)
  assert.ok(gc.scavenge.count >= 0 && gc['mark-sweep-compact'].count >= 0)
})

test('loses no collection', async () => {
  const { PerformanceObserver, constants } = require('node:perf_hooks')
  let observed = 0
  const observer = new PerformanceObserver(list => {
    observed += list.getEntries().filter(entry => entry.detail.kind === constants.NODE_PERFORMANCE_GC_MINOR).length
  })
  plimsoll()
  const before = plimsoll.stats().gc.scavenge.count
  observer.observe({ entryTypes: ['gc'] })
  const kept = []
  for (let i = 0; i < 300; i++) kept[i % 10] = new Array(20_000).fill({ i })
  const counted = plimsoll.stats().gc.scavenge.count - before
  await until(() => observed >= counted, 'the observer hears of them later').catch(() => {})
  observer.disconnect()
  assert.ok(counted > 0)
  assert.ok(counted >= observed - 2, `counted ${counted}, an observer saw ${observed}`)
})
