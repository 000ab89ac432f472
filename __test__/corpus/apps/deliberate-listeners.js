'use strict'

// Healthy both: what is there from the start, or for as long as its connection, is no leak.

const { EventEmitter } = require('node:events')

exports.mechanism = 'fifty deliberate listeners, idle keep-alive connections, one listener a connection'
exports.expected = null

const bus = new EventEmitter().setMaxListeners(0)
exports.watch = { bus }
exports.request = { connections: 80 }

const marked = new WeakSet()

exports.healthy = app => {
  for (let i = 0; i < 50; i++) bus.on('tick', () => i)
  let first = true
  app.get('/', (req, res) => {
    if (first) for (let i = 0; i < 50; i++) bus.on(`lazy`, () => i)
    first = false
    if (!marked.has(req.socket)) {
      marked.add(req.socket)
      req.socket.on('close', () => bus.emit('tick'))
    }
    bus.emit('tick')
    res.end()
  })
}
