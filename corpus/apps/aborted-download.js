'use strict'

const fs = require('node:fs')
const { pipeline } = require('node:stream')

exports.mechanism = '`createReadStream().pipe(res)` with a client that aborts'
exports.about = `
  When the client disconnects, Node destroys the response, but \`pipe\` does not destroy the source.
  The file is not read any more, and its descriptor stays open. Each aborted download leaves one,
  until the process has none left. The stream itself is collected, so the heap shows nothing.`
exports.reference = 'https://github.com/nodejs/node/issues/1834'
exports.route = 'GET /files/:name'
exports.expected = { leak: true, where: 'descriptors', kinds: { stream: 'leak' } }
exports.load = { abort: true, requests: 600 }

exports.leaky = app => {
  // handler
  app.get('/files/:name', (_req, res) => {
    fs.createReadStream('/dev/zero').pipe(res) // leak
  })
}

exports.healthy = app => {
  let turn = 0
  app.get('/files/:name', (_req, res) => {
    const file = fs.createReadStream('/dev/zero')
    turn += 1
    if (turn % 2 === 0) return pipeline(file, res, () => {})
    res.on('close', () => file.destroy())
    file.pipe(res)
  })
}
