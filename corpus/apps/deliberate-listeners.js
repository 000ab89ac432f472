'use strict'

const { EventEmitter } = require('node:events')

exports.mechanism = 'an emitter with fifty deliberate listeners'
exports.about = `
  Fifty listeners from the start, fifty more that the first request adds, and one for each of eighty connections, for as long as it is open. Node's warning comes at eleven. None
  of them grows with requests.`
exports.route = 'GET /'
exports.load = { connections: 80 }

const bus = new EventEmitter().setMaxListeners(0)
exports.emitters = { bus }

exports.healthy = app => {
  const marked = new WeakSet()
  for (let i = 0; i < 50; i++) bus.on('tick', () => i)
  let first = true
  app.get('/', (req, res) => {
    if (first) for (let i = 0; i < 50; i++) bus.on('lazy', () => i)
    first = false
    if (!marked.has(req.socket)) {
      marked.add(req.socket)
      req.socket.on('close', () => bus.emit('tick'))
    }
    bus.emit('tick')
    res.end()
  })
}
