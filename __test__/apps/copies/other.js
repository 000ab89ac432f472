'use strict'

// The app's copy runs, and a plugin has one of another version.

const http = require('node:http')
const { once } = require('node:events')

const copies = JSON.parse(process.env.COPIES)
const warnings = []
process.on('warning', ({ code, message }) => warnings.push({ code, message }))

const express = require('express')
const { drive, send } = require(process.env.SEEN)

function listeners() {
  const of = process.eventNames().map(event => [String(event), process.listenerCount(event)])
  const channels = ['http.server.request.start'].map(name => require('node:diagnostics_channel').hasSubscribers(name))
  const { push } = require('node:net').Socket.prototype
  return { of, channels, push: push.name, timer: setInterval.toString().length }
}

/** An app with only the plugin's copy, with everything that it may switch on. */
async function guard(other, scopes) {
  const app = express()
  app.use(other({ name: 'other', watch: true, layers: true }))
  app.use(other.scope())
  app.use(other.limit('1kb'))
  other.watchListeners()
  app.get('/metrics', other.metrics())
  app.post('/body', express.text(), (req, res) => {
    scopes[0] = typeof req.scope?.defer
    req.scope.defer(() => {
      scopes[1] = 'done'
    })
    res.json(req.body.length)
  })
  app.use((error, _req, res, _next) => res.status(error.status ?? 500).send(String(error.message)))
  const server = http.createServer(app)
  // Two versions on one server.
  require(copies.app).attach(server)
  other.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  const answers = [
    await send(port, '/body', 'x'.repeat(10)),
    await send(port, '/body', 'x'.repeat(2000)),
    await send(port, '/body', 'x'.repeat(10), { expect: '100-continue' })
  ]
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
  return answers
}

async function main() {
  const seen = [await drive(express, require(copies.app), 'first')]
  const before = listeners()
  const other = require(copies.plugin)
  const scopes = []
  const guarded = await guard(other, scopes)
  const after = listeners()
  const { reason } = other.stats().heap
  seen.push(await drive(express, require(copies.app), 'second'))
  // The first copy's channel saw the three requests to the other app. It tracks only requests of its own middleware.
  const addons = process.report.getReport().sharedObjects.filter(file => file.endsWith('.node'))
  console.log(JSON.stringify({ seen, guarded, scopes, listeners: { before, after }, reason, addons, warnings }))
}

main()
