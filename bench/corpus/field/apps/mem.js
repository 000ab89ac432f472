'use strict'

/* Entries expire after `maxAge`, but are not deleted. */

const mem = require('mem')

exports.report = 'sindresorhus/memoize#14'
exports.packages = { mem: '3.0.1' }
exports.expected = { routes: ['GET /search'], holder: /cache|Map|store/i, addedBy: null }
exports.paths = [
  ['GET', '/search?q=:n'],
  ['GET', '/products/:n'],
  ['GET', '/health']
]
exports.rate = 200

const result = query => ({ query, rows: Array.from({ length: 20 }, (_, id) => ({ id, query, rank: id * 0.5 })) })

function routes(app, search) {
  app.get('/search', (req, res) => res.json(search(req.query.q).rows.length))
  app.get('/products/:id', (req, res) => res.json({ id: req.params.id }))
  app.get('/health', (_req, res) => res.send('ok'))
}

exports.leaky = app => routes(app, mem(result, { maxAge: 1000 }))

exports.healthy = app => routes(app, result)
