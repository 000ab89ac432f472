'use strict'

/* A mounted middleware creates a proxy for each request, and each proxy adds a listener to the server. */

const http = require('node:http')
const { createProxyMiddleware } = require('http-proxy-middleware')

exports.report = 'chimurai/http-proxy-middleware#909, #954'
exports.packages = { 'http-proxy-middleware': '2.0.6' }
exports.expected = { routes: ['GET /api'], holder: /close|_events|listener/i, addedBy: null }
exports.paths = [
  ['GET', '/api/items'],
  ['GET', '/ping'],
  ['GET', '/products/:n']
]
exports.rate = 120

function routes(app, proxy) {
  const upstream = http.createServer((_req, res) => res.end('[]')).listen(0, '127.0.0.1')
  upstream.unref()
  const target = () => `http://127.0.0.1:${upstream.address().port}`
  app.use('/api', (req, res, next) => proxy(target())(req, res, next))
  app.get('/ping', (_req, res) => res.send('pong'))
  app.get('/products/:id', (req, res) => res.json({ id: req.params.id }))
}

const make = target => createProxyMiddleware({ target, changeOrigin: true, logLevel: 'silent' })

exports.leaky = app => routes(app, make)

exports.healthy = app => {
  let proxy
  routes(app, target => {
    proxy ??= make(target)
    return proxy
  })
}
