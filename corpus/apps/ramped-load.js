'use strict'

const { setTimeout: pause } = require('node:timers/promises')

exports.mechanism = 'a load that ramps up'
exports.about = `
  The morning: ever more clients at a time, up to a hundred. Connections, parsers and requests in flight become more, so memory grows by the hour; by the request it does
  not.`
exports.route = 'GET /slow/:id'
exports.load = { connections: 100, ramp: true }

exports.healthy = app => {
  app.get('/slow/:id', async (req, res) => {
    const rows = Array.from({ length: 500 }, (_, i) => ({ i, id: req.params.id }))
    await pause(5)
    res.json(rows.length)
  })
}
