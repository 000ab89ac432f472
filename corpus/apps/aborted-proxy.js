'use strict'

const http = require('node:http')
const { upstream } = require('../lib/upstream.js')

exports.mechanism = "an upstream's answer piped into `res`, with a client that aborts"
exports.about = `
  The same as with a file, over a socket: the client is gone, \`pipe\` has stopped reading, and the connection to the upstream stays open, paused, with its
  buffers full. The upstream waits as well.`
exports.route = 'GET /proxy'
exports.expected = { leak: true, kinds: { stream: 'leak' }, class: 'Socket', holder: 'TCP' }
exports.load = { abort: true, requests: 600 }

exports.leaky = async app => {
  const port = await upstream('endless')
  // handler
  app.get('/proxy', (_req, res) => {
    http.get({ port, agent: false }, answer => answer.pipe(res)).on('error', () => {}) // leak
  })
}

exports.healthy = async app => {
  const port = await upstream('endless')
  app.get('/proxy', (_req, res) => {
    const asked = http.get({ port, agent: false }, answer => answer.pipe(res)).on('error', () => {})
    res.on('close', () => asked.destroy())
  })
}
