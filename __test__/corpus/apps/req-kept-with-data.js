'use strict'

exports.mechanism = '`req` kept in a list, with what hangs on it'
exports.expected = { kind: 'retained', route: 'GET /audit' }

const seen = []
const LAST = 50

exports.leaky = app => {
  app.get('/audit', (req, res) => {
    req.data = new Array(1000).fill('x')
    seen.push(req)
    res.end()
  })
}

/** A bounded list is a cache at its capacity, whatever is in it. */
exports.healthy = app => {
  app.get('/audit', (req, res) => {
    seen.push({ at: Date.now(), path: req.path })
    if (seen.length > LAST) seen.shift()
    res.end()
  })
}
