'use strict'

const { native } = require('../core/addon.js')
const options = require('../core/options.js')
const runtime = require('../recorder/recorder.js')
const shed = require('./shed.js')

/** Handler for readiness: 503 while any `shed()` of this thread refuses, otherwise 200. */
function ready(given) {
  options.object('ready()', given, [])
  runtime.start()

  return function plimsollReady(req, res) {
    const level = native === null ? 0 : Math.max(0, ...Array.from(shed.guards, native.level))
    const body = level === 0 ? 'ready\n' : 'shedding\n'
    res.statusCode = level === 0 ? 200 : 503
    res.setHeader('content-type', 'text/plain; charset=utf-8')
    res.setHeader('cache-control', 'no-store')
    res.setHeader('content-length', body.length)
    res.end(req.method === 'HEAD' ? undefined : body)
  }
}

module.exports = ready
