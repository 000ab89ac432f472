'use strict'

/* Each request uses much memory, which is freed. Nothing leaks. */

exports.report = 'nodejs/node#57213'
exports.packages = {}
exports.expected = { routes: [], holder: null, addedBy: null }
exports.paths = [
  ['GET', '/price/:n'],
  ['GET', '/health']
]
exports.rate = 150

exports.healthy = app => {
  app.get('/price/:n', (req, res) =>
    res.send(new Intl.NumberFormat('de-DE', { style: 'currency', currency: 'EUR' }).format(Number(req.params.n)))
  )
  app.get('/health', (_req, res) => res.send('ok'))
}
