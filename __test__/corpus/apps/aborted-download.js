'use strict'

const fs = require('node:fs')
const { pipeline } = require('node:stream')

exports.mechanism = '`createReadStream().pipe(res)` with a client that aborts'
exports.expected = { kind: 'stream', route: 'GET /files/:name', place: 'pipe' }
exports.request = { abort: true }

exports.leaky = app => {
  app.get('/files/:name', (_req, res) => {
    fs.createReadStream('/dev/zero').pipe(res) // pipe
  })
}

exports.healthy = app => {
  let turn = 0
  app.get('/files/:name', (req, res) => {
    const file = fs.createReadStream('/dev/zero')
    turn += 1
    if (turn % 3 === 0) return pipeline(file, res, () => {})
    if (turn % 3 === 1) return void req.scope.pipe(file, res)
    res.on('close', () => file.destroy())
    file.pipe(res)
  })
}
