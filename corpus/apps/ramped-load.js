'use strict'

const { setTimeout: pause } = require('node:timers/promises')

exports.mechanism = 'a load that ramps up'
exports.about = `
  The number of clients grows to a hundred, as in the morning. Connections, parsers and
  requests in flight become more. So memory grows with time, but not with requests.`
exports.route = 'GET /slow/:id'
exports.load = { connections: 100, ramp: true }

exports.healthy = app => {
  app.get('/slow/:id', async (req, res) => {
    const rows = Array.from({ length: 500 }, (_, i) => ({ i, id: req.params.id }))
    await pause(5)
    res.json(rows.length)
  })
}
