'use strict'

exports.mechanism = '`req.data = bigArray`, with `req` kept in a list'
exports.about = `
  A list of visitors holds whole requests, and everything attached to them: here 8 KB each, and the
  objects of Node and Express. The list of the healthy twin holds only the last fifty requests.`
exports.route = 'GET /audit'
exports.expected = { leak: true, kinds: { retained: 'handler' }, class: 'IncomingMessage', holder: 'seen' }
exports.load = { requests: 2000 }

const seen = []
const LAST = 50

exports.leaky = app => {
  // handler
  app.get('/audit', (req, res) => {
    req.data = new Array(1000).fill('x')
    seen.push(req) // leak
    res.end()
  })
}

exports.healthy = app => {
  app.get('/audit', (req, res) => {
    req.data = new Array(1000).fill('x')
    seen.push(req)
    if (seen.length > LAST) seen.shift()
    res.end()
  })
}
