'use strict'

exports.mechanism = '`setInterval` per request'
exports.about = `
  A stream of server-sent events beats once a second, and nobody stops the interval when the client goes away. Node holds the timer, the timer its callback, and
  that the response. The healthy twin is the same stream with an end.`
exports.route = 'GET /events'
exports.expected = { leak: true, kinds: { timer: 'leak', retained: 'handler' }, class: 'Timeout', holder: 'TimersList' }
exports.load = { abort: true, requests: 3000 }

exports.leaky = app => {
  // handler
  app.get('/events', (_req, res) => {
    res.write('data: 0\n\n')
    const beat = () => res.write('data: 1\n\n')
    setInterval(beat, 1000).unref() // leak
  })
}

exports.healthy = app => {
  app.get('/events', (req, res) => {
    res.write('data: 0\n\n')
    const beat = setInterval(() => res.write('data: 1\n\n'), 1000)
    req.on('close', () => clearInterval(beat))
  })
}
