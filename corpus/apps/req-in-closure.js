'use strict'

exports.mechanism = 'a metrics closure keeps `req`'
exports.about = `
  Each request registers a collector with the metrics, and the collector's closure holds the request.
  The registry exists as long as the process. So does each request, with its socket and response.`
exports.reference = 'https://github.com/prometheus/client_js/issues/142'
exports.route = 'GET /report/:id'
exports.expected = { leak: true, kinds: { retained: 'handler' }, class: 'IncomingMessage', holder: 'collectors' }

const collectors = []

exports.leaky = app => {
  // handler
  app.get('/report/:id', (req, res) => {
    collectors.push(() => req.params.id.length) // leak
    res.json({ collectors: collectors.length })
  })
}

const lengths = new Map()

exports.healthy = app => {
  app.get('/report/:id', (req, res) => {
    const { length } = req.params.id
    lengths.set(length, (lengths.get(length) ?? 0) + 1)
    res.json({ collectors: lengths.size })
  })
}
