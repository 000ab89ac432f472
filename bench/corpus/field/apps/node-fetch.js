'use strict'

/* Each request leaves listeners on a socket of the keep-alive agent. */

const http = require('node:http')

exports.report = 'node-fetch/node-fetch#1446, #1295'
exports.packages = { 'node-fetch': '3.1.0' }
exports.expected = { routes: ['GET /rates'], holder: /_events|close|data|Socket|listener/i, addedBy: null }
exports.paths = [
  ['GET', '/rates'],
  ['GET', '/products/:n'],
  ['GET', '/health']
]
exports.rate = 100

function routes(app, agent) {
  const upstream = http.createServer((_req, res) => res.end('{}')).listen(0, '127.0.0.1')
  upstream.unref()
  const loaded = import('node-fetch')
  app.get('/rates', async (_req, res) => {
    const { default: fetch } = await loaded
    const answer = await fetch(`http://127.0.0.1:${upstream.address().port}/`, { agent })
    res.json(await answer.json())
  })
  app.get('/products/:id', (req, res) => res.json({ id: req.params.id }))
  app.get('/health', (_req, res) => res.send('ok'))
}

exports.leaky = app => routes(app, new http.Agent({ keepAlive: true, maxSockets: 4 }))

exports.healthy = app => routes(app, undefined)
