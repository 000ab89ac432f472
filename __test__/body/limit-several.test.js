'use strict'

// Several guards of one body, each with a budget of its own, and how they count a decoder.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const test = require('node:test')
const zlib = require('node:zlib')
const plimsoll = require('../..')
const { native } = require('../../lib/core/addon.js')
const { serve, until } = require('../support/http.js')
const { errorPage, upload } = require('../support/uploads.js')

const versions = { 'express 5': require('express'), 'express 4': require('express4') }

async function allReleased() {
  await until(() => native.budgetInFlight() === 0, 'all of the budget is released')
}

for (const [version, express] of Object.entries(versions)) {
  test.describe(version, () => {
    /** An app with these limits, one before the other. `near` are those of its route. */
    async function guarded(t, far, near) {
      const app = express()
      app.use(plimsoll(), ...far.map(options => plimsoll.limit(options)))
      app.post('/', ...near.map(options => plimsoll.limit(options)), (req, res) =>
        req.resume().on('end', () => res.send('whole'))
      )
      app.use(errorPage([]))
      const server = await serve(app)
      t.after(() => server.close())
      return server
    }

    test('a nearer limit with a lower perClient books nothing twice', async t => {
      const budget = perClient => ({ limit: '1mb', budget: { bytes: '64mb', perClient } })
      const { port } = await guarded(t, [budget('1mb')], [budget('100kb')])
      for (let i = 0; i < 100; i++) {
        const { status } = await upload(port, '/', { pieces: [Buffer.alloc(20_000)] })
        assert.equal(status, 200, `request ${i}`)
      }
      await allReleased()
    })

    test('a limit that reports neither loosens nor tightens one that refuses, in either order', async t => {
      const [refuses, reports] = [
        { limit: '1mb', budget: 10_000 },
        { limit: '1mb', budget: 1000, report: true }
      ]
      for (const [far, near] of [
        [[refuses], [reports]],
        [[reports], [refuses]],
        [[], [reports, refuses]]
      ]) {
        const { port } = await guarded(t, far, near)
        const before = plimsoll.stats().requests.limitReported
        assert.equal((await upload(port, '/', { pieces: [Buffer.alloc(5000)] })).status, 200)
        assert.equal(plimsoll.stats().requests.limitReported, before + 1)
        assert.equal((await upload(port, '/', { pieces: [Buffer.alloc(5000), Buffer.alloc(5001)] })).status, 413)
        await allReleased()
      }
    })

    test('a compressed body holds its decoder too, which counts for its client', async t => {
      const budget = { bytes: '64mb', perClient: '4mb', client: req => req.headers['x-client'] }
      const { port } = await guarded(t, [{ limit: '10mb', inflate: { ratio: 1e6 }, budget }], [])
      const zeros = zlib.brotliCompressSync(Buffer.alloc(3_000_000))
      const send = (name, pieces, headers) =>
        upload(port, '/', { headers: { 'x-client': name, 'content-encoding': 'br', ...headers }, pieces })
      // The inflated bytes and a window of 4 MiB together exceed the client's limit. The window alone does not.
      assert.equal((await send('one', [zeros])).status, 413)
      assert.equal((await send('one', [zlib.brotliCompressSync('a small body')])).status, 200)
      await allReleased()
    })

    test('a small compressed body fits into a budget smaller than its window', async t => {
      const { port } = await guarded(t, [{ limit: '1mb', inflate: true, budget: '2mb' }], [])
      const headers = { 'content-encoding': 'br' }
      for (let i = 0; i < 5; i++) {
        const { status } = await upload(port, '/', { headers, pieces: [zlib.brotliCompressSync('{"a":1}')] })
        assert.equal(status, 200)
      }
      const tight = await guarded(t, [{ limit: '1mb', inflate: { memory: '2mb' } }], [])
      const refused = await upload(tight.port, '/', { headers, pieces: [zlib.brotliCompressSync('{"a":1}')] })
      assert.equal(refused.status, 415, 'a window that never fits')
      await allReleased()
    })

    test('with report a decoder that has no room in the budget is reported', async t => {
      const { port } = await guarded(t, [{ limit: '10mb', inflate: true, budget: '2mb', report: true }], [])
      const before = plimsoll.stats().requests.limitReported
      const pieces = [zlib.brotliCompressSync(Buffer.alloc(3_000_000))]
      assert.equal((await upload(port, '/', { headers: { 'content-encoding': 'br' }, pieces })).status, 200)
      assert.ok(plimsoll.stats().requests.limitReported > before)
      await allReleased()
    })
  })
}
