'use strict'

/* A middleware for all routes writes to a stream without a consumer. */

const logger = require('morgan-debug')

exports.report = 'ChiperSoft/morgan-debug#2'
exports.packages = { 'morgan-debug': '1.0.0' }
// All routes leak equally, so the finding names none.
exports.expected = {
  routes: ['GET /health', 'GET /orders', 'GET /products/:id'],
  holder: /buffer|_readableState|stream/i,
  addedBy: null
}
exports.paths = [
  ['GET', '/products/:n'],
  ['GET', '/health'],
  ['GET', '/orders']
]
exports.rate = 300

function routes(app) {
  app.get('/products/:id', (req, res) => res.json({ id: req.params.id }))
  app.get('/orders', (_req, res) => res.json([]))
  app.get('/health', (_req, res) => res.send('ok'))
}

exports.leaky = app => {
  app.use(logger(() => {}, 'combined'))
  routes(app)
}

exports.healthy = app => {
  app.use(require('morgan')('combined', { stream: { write() {} } }))
  routes(app)
}
