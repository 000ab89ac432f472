'use strict'

/* An app under a tracer that wraps Express itself. */

const spans = []
if (process.env.TRACER === 'opentelemetry') {
  const { registerInstrumentations } = require('@opentelemetry/instrumentation')
  const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http')
  const { ExpressInstrumentation } = require('@opentelemetry/instrumentation-express')
  const { NodeTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-node')
  const exporter = {
    export(batch, done) {
      spans.push(...batch.map(span => span.name))
      done({ code: 0 })
    },
    shutdown: async () => {}
  }
  new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()
  registerInstrumentations({ instrumentations: [new HttpInstrumentation(), new ExpressInstrumentation()] })
} else {
  // There is no server at the address to which it would send.
  const tracer = require('dd-trace').init({
    startupLogs: false,
    remoteConfig: { pollInterval: 0 },
    url: 'http://127.0.0.1:1'
  })
  const hooks = { request: span => spans.push(String(span?.context()._tags['http.route'])) }
  tracer.use('express', { hooks })
}

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

let held
function allocate(count) {
  let chain = null
  for (let i = 0; i < count; i++) chain = { a: i, b: i, before: chain }
  held = chain
}

const app = express()
app.use(plimsoll({ layers: true, async: true }))
app.use(function session(_req, _res, next) {
  allocate(1000)
  setImmediate(() => {
    allocate(1000)
    next()
  })
})
app.get('/users/:id', async function getUser(req, res) {
  await null
  allocate(5000)
  res.json({ id: req.params.id })
})
app.get('/fails', async function fails() {
  throw Object.assign(new Error('teapot'), { status: 418 })
})
app.use(function onError(error, _req, res, _next) {
  res.status(error.status).end()
})
listen(app, { held: () => typeof held, spans: () => spans })
