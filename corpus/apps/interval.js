'use strict'

exports.mechanism = '`setInterval` per request'
exports.about = `
  A stream of server-sent events sends a message every second. Its interval is not stopped when the client
  disconnects. Node holds the timer, the timer its callback, and the callback the response. The healthy twin stops it.`
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
