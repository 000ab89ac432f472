'use strict'

exports.mechanism = 'abort listeners on a long-lived `AbortSignal`'
exports.expected = { kind: 'listener', route: 'GET /search', place: 'abort' }

const shutdown = new AbortController()

exports.leaky = app => {
  app.get('/search', (_req, res) => {
    shutdown.signal.addEventListener('abort', () => res.destroy()) // abort
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
