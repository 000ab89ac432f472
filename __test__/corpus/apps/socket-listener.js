'use strict'

// A listener a request on a connection that stays open.

exports.mechanism = 'listeners added per request to a keep-alive socket'
exports.expected = { kind: 'listener', route: 'GET /page', place: 'socket' }

exports.leaky = app => {
  app.get('/page', (req, res) => {
    req.socket.on('timeout', () => res.destroy()) // socket
    res.end('page')
  })
}

exports.healthy = app => {
  app.get('/page', (req, res) => {
    const slow = () => res.destroy()
    req.socket.on('timeout', slow)
    res.on('close', () => req.socket.off('timeout', slow))
    res.end('page')
  })
}
