'use strict'

exports.mechanism = 'listeners added per request to a keep-alive socket'
exports.about = `
  A connection outlives its requests: it may serve millions for a proxy. Each request adds a listener to it, with the response in its
  closure. The memory is freed when the connection closes. So the leak shows in production, but not in a test with a connection per request.`
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
