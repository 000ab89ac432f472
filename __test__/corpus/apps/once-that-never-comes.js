'use strict'

// `once` removes its listener when the event comes: this one comes at the end of the process.

const { EventEmitter } = require('node:events')

exports.mechanism = '`once` on a bus for an event that does not come'
exports.expected = { kind: 'listener', route: 'GET /jobs/:id', place: 'once' }

const bus = new EventEmitter().setMaxListeners(0)
exports.watch = { bus }

exports.leaky = app => {
  app.get('/jobs/:id', (req, res) => {
    bus.once('drained', () => res.destroy()) // once
    setImmediate(() => res.json({ id: req.params.id }))
  })
}

exports.healthy = app => {
  app.get('/jobs/:id', (req, res) => {
    bus.once(`done ${req.params.id}`, () => res.json({ id: req.params.id }))
    setImmediate(() => bus.emit(`done ${req.params.id}`))
  })
}
