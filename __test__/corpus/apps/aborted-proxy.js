'use strict'

const http = require('node:http')

exports.mechanism = "an upstream's answer piped into `res`, with a client that aborts"
exports.expected = { kind: 'stream', route: 'GET /proxy', place: 'upstream' }
exports.request = { abort: true }

/** Answers without an end. */
const upstream = http.createServer((_req, res) => {
  const more = () => {
    while (!res.destroyed && res.write('x'.repeat(16_384)));
  }
  res.on('drain', more)
  more()
})
upstream.listen(0, '127.0.0.1').unref()

const get = take => http.get({ port: upstream.address().port, host: '127.0.0.1' }, take).on('error', () => {})

exports.leaky = app => {
  app.get('/proxy', (_req, res) => {
    get(answer => answer.pipe(res)) // upstream
  })
}

exports.healthy = app => {
  app.get('/proxy', (_req, res) => {
    const asked = get(answer => answer.pipe(res))
    res.on('close', () => asked.destroy())
  })
}
