'use strict'

exports.mechanism = '`req.data = bigArray`, with `req` kept in a list'
exports.about = `
  A list of who was there keeps whole requests, and so everything that anybody hangs on them: 8 KB each here, and what Node and Express have there. The healthy
  twin's list keeps requests as well, but only the last fifty.`
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
