'use strict'

exports.mechanism = 'lazy `require`'
exports.about = `
  The first request that needs a module loads it. Each module adds functions, strings and
  compiled code, which are never released. But the number of modules is bounded.`
exports.route = 'GET /tools/:id'

const MODULES = [
  'assert/strict',
  'child_process',
  'cluster',
  'dgram',
  'dns/promises',
  'http2',
  'https',
  'inspector/promises',
  'readline/promises',
  'repl',
  'stream/consumers',
  'string_decoder',
  'test',
  'timers/promises',
  'tls',
  'util/types',
  'v8',
  'vm',
  'worker_threads',
  'zlib'
]
/** Requests between two modules. */
const EVERY = 60

exports.healthy = app => {
  app.get('/tools/:id', (req, res) => {
    const name = MODULES[Math.floor(req.params.id / EVERY) % MODULES.length]
    res.json(Object.keys(require(`node:${name}`)).length)
  })
}
