'use strict'

exports.mechanism = 'abort listeners on a long-lived `AbortSignal`'
exports.about = `
  A signal that reports the shutdown exists as long as the process. Each request adds a listener to it and never removes it.
  The event fires only once, at the end. The signal holds the listener, the listener its closure, and the closure the response.`
exports.reference = 'https://github.com/nodejs/node/issues/35990'
exports.route = 'GET /search'
exports.expected = {
  leak: true,
  kinds: { listener: 'leak', retained: 'handler' },
  class: 'ServerResponse',
  holder: 'shutdown'
}

const shutdown = new AbortController()

exports.leaky = app => {
  // handler
  app.get('/search', (_req, res) => {
    shutdown.signal.addEventListener('abort', () => res.destroy()) // leak
    setImmediate(() => res.end('found'))
  })
}

exports.healthy = app => {
  app.get('/search', (_req, res) => {
    const own = new AbortController()
    const stop = () => own.abort()
    shutdown.signal.addEventListener('abort', stop)
    own.signal.addEventListener('abort', () => res.destroy())
    res.on('close', () => shutdown.signal.removeEventListener('abort', stop))
    setImmediate(() => res.end('found'))
  })
}
