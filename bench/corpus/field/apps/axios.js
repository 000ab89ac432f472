'use strict'

/* Each request adds an interceptor to a shared instance. */

const axios = require('axios')

exports.report = 'axios/axios#1645, #3217'
exports.packages = { axios: '0.27.2' }
exports.expected = { routes: ['GET /quotes'], holder: /handlers/, addedBy: null }
exports.paths = [
  ['GET', '/quotes'],
  ['GET', '/products/:n'],
  ['GET', '/health']
]
exports.rate = 150

function routes(app, client) {
  app.get('/quotes', (req, res) => res.json({ client: typeof client(req) }))
  app.get('/products/:id', (req, res) => res.json({ id: req.params.id }))
  app.get('/health', (_req, res) => res.send('ok'))
}

exports.leaky = app => {
  const shared = axios.create()
  routes(app, function clientFor(req) {
    const context = { url: req.url, tags: Array(50).fill(req.url) }
    shared.interceptors.request.use(config => ({ ...config, context }))
    return shared
  })
}

exports.healthy = app => {
  const shared = axios.create()
  shared.interceptors.request.use(config => config)
  routes(app, () => shared)
}
