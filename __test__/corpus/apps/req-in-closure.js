'use strict'

// A metrics registry whose collectors close over the request that registered them (client_js#142).

exports.mechanism = 'a metrics closure keeps `req`'
exports.expected = { kind: 'retained', route: 'GET /report/:id', place: 'handler' }

const collectors = []

exports.leaky = app => {
  // handler
  app.get('/report/:id', (req, res) => {
    collectors.push(() => req.params.id.length)
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
