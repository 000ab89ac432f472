'use strict'

exports.mechanism = '`req` kept in a list, with what hangs on it'
exports.expected = { kind: 'retained', route: 'GET /audit', place: 'handler' }

const seen = []
const LAST = 50

exports.leaky = app => {
  // handler
  app.get('/audit', (req, res) => {
    req.data = new Array(1000).fill('x')
    seen.push(req)
    res.end()
  })
}

/** A bounded list keeps requests as well, but not more and more of them. */
exports.healthy = app => {
  app.get('/audit', (req, res) => {
    seen.push(req)
    if (seen.length > LAST) seen.shift()
    res.end()
  })
}
