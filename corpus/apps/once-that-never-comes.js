'use strict'

const { EventEmitter } = require('node:events')

exports.mechanism = '`once` on a bus for an event that does not come'
exports.about = `
  \`once\` removes its listener when the event fires, so developers do not remove it themselves.
  This event fires at the end of the process. Until then each listener holds its response.`
exports.route = 'GET /jobs/:id'
exports.expected = {
  leak: true,
  kinds: { listener: 'leak', retained: 'handler' },
  class: 'ServerResponse',
  holder: 'bus'
}

const bus = new EventEmitter().setMaxListeners(0)
exports.emitters = { bus }

exports.leaky = app => {
  // handler
  app.get('/jobs/:id', (req, res) => {
    bus.once('drained', () => res.destroy()) // leak
    setImmediate(() => res.json({ id: req.params.id }))
  })
}

exports.healthy = app => {
  app.get('/jobs/:id', (req, res) => {
    bus.once(`done ${req.params.id}`, () => res.json({ id: req.params.id }))
    setImmediate(() => bus.emit(`done ${req.params.id}`))
  })
}
