'use strict'

const { EventEmitter } = require('node:events')

exports.mechanism = 'an emitter with fifty deliberate listeners'
exports.about = `
  There are fifty listeners from the start, and the first request adds fifty more. Each of the eighty
  connections has one while it is open. Node warns at the eleventh. Their number does not grow with requests.`
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
