'use strict'

exports.mechanism = 'listeners added per request to a keep-alive socket'
exports.about = `
  A connection outlives its requests: behind a proxy it may serve millions. Each request leaves a listener on it, with the response in its closure. The memory comes back
  when the connection closes, so it shows in production and not in a test that opens a connection a request.`
exports.reference = 'https://nodejs.org/api/events.html#emittersetmaxlistenersn'
exports.route = 'GET /page'
exports.expected = {
  leak: true,
  kinds: { listener: 'leak', retained: 'handler' },
  class: 'ServerResponse',
  holder: 'Socket'
}

exports.leaky = app => {
  // handler
  app.get('/page', (req, res) => {
    req.socket.on('timeout', () => res.destroy()) // leak
    res.end('page')
  })
}

exports.healthy = app => {
  app.get('/page', (req, res) => {
    const slow = () => res.destroy()
    req.socket.on('timeout', slow)
    res.on('close', () => req.socket.off('timeout', slow))
    res.end('page')
  })
}
