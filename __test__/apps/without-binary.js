'use strict'

/*
 * An app with all of plimsoll's middleware, and a client of it, in one process. Prints the result as JSON. The package
 * is the one at PLIMSOLL_PACKAGE, which `support.js` does not know.
 */

process.env.NODE_ENV = 'test'

const { Agent } = require('node:http')
const express = require(process.env.EXPRESS)
const multer = require('multer')
const { serve, request, until } = require('../support/http.js')
const { errorPage, upload } = require('../support/uploads.js')

const warnings = []
process.on('warning', ({ code, message }) => warnings.push({ code, message }))

const plimsoll = require(process.env.PLIMSOLL_PACKAGE)
const counters = require(`${process.env.PLIMSOLL_PACKAGE}/lib/body/js-counter.js`)
const LIMIT = 2000

const app = express()
app.use(plimsoll({ name: 'without-binary' }))
app.use(plimsoll.limit(LIMIT))
app.get('/metrics', plimsoll.metrics())
app.get('/usage', (req, res) => res.json({ usage: String(plimsoll.usage(req)) }))
app.post('/text', express.text(), (req, res) => res.json(req.body.length))
app.post('/multer', multer().single('file'), (req, res) => res.json(req.file.size))
app.post('/data', (req, res) => {
  let bytes = 0
  req.on('data', piece => {
    bytes += piece.length
  })
  req.on('end', () => res.json(bytes))
})
app.use(errorPage([]))

async function outcomes(port) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const found = {}
  for (const path of ['/text', '/multer', '/data']) {
    for (const size of [LIMIT, LIMIT + 1, 10 * LIMIT]) {
      for (const declared of [true, false]) {
        const head =
          path === '/multer' ? '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' : ''
        const tail = path === '/multer' ? '\r\n--b--\r\n' : ''
        const body = Buffer.from(head + 'x'.repeat(size - head.length - tail.length) + tail)
        const type = path === '/multer' ? 'multipart/form-data; boundary=b' : 'text/plain'
        const headers = { 'content-type': type, ...(declared ? { 'content-length': size } : {}) }
        const pieces = [body.subarray(0, size - 1), body.subarray(size - 1)]
        const { status } = await upload(port, path, { agent, headers, pieces })
        found[`${path} ${size} ${declared ? 'declared' : 'counted'}`] = status
      }
    }
  }
  agent.destroy()
  return found
}

/** Whether all of the first `count` taps are closed: an open one would accept any limit. */
function allClosed(count) {
  return Array.from({ length: count }, (_, i) => counters.tapLower(i + 1, Number.MAX_VALUE)).every(unknown => unknown)
}

async function main() {
  const server = await serve(app)
  const report = {
    outcomes: await outcomes(server.port),
    metrics: await request(server.port, '/metrics'),
    usage: await request(server.port, '/usage'),
    stats: plimsoll.stats(),
    lastDeath: plimsoll.lastDeath(),
    addons: process.report.getReport().sharedObjects.filter(file => file.endsWith('.node')),
    bindings: Object.keys(require.cache).filter(file => file.endsWith('binding.js'))
  }
  const taps = counters.tapOpen(0)
  counters.tapClose(taps)
  await until(() => allClosed(taps), 'all taps are closed')
  await server.close()
  console.log(JSON.stringify({ ...report, taps, warnings }))
}

main()
