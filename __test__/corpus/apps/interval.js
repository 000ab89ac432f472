'use strict'

// Its healthy twin is a stream of events: an interval for as long as the client is there.

exports.mechanism = '`setInterval` per request'
exports.expected = { kind: 'timer', route: 'GET /events', place: 'interval' }
exports.request = { abort: true }

exports.leaky = app => {
  app.get('/events', (_req, res) => {
    res.write('data: 0\n\n')
    const beat = () => res.write('data: 1\n\n')
    setInterval(beat, 1000).unref() // interval
  })
}

exports.healthy = app => {
  app.get('/events', (req, res) => {
    res.write('data: 0\n\n')
    const beat = setInterval(() => res.write('data: 1\n\n'), 1000)
    req.on('close', () => clearInterval(beat))
  })
}
