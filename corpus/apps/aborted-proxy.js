'use strict'

const http = require('node:http')
const { upstream } = require('../lib/upstream.js')

exports.mechanism = "an upstream's answer piped into `res`, with a client that aborts"
exports.about = `
  The same leak as with a file, over a socket. The client has disconnected and \`pipe\` has stopped
  reading. The connection to the upstream stays open and paused, with full buffers. The upstream waits too.`
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
