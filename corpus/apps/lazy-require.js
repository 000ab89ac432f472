'use strict'

exports.mechanism = 'lazy `require`'
exports.about = `
  Modules are loaded by the first request that needs them. Each is a step upwards that never comes down, in functions, strings and compiled code, and there are only so many of
  them.`
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
/** Requests from one of them to the next. */
const EVERY = 60

exports.healthy = app => {
  app.get('/tools/:id', (req, res) => {
    const name = MODULES[Math.floor(req.params.id / EVERY) % MODULES.length]
    res.json(Object.keys(require(`node:${name}`)).length)
  })
}
