'use strict'

exports.mechanism = 'idle keep-alive connections'
exports.about = `
  Two hundred connections have asked once and stay open. Each holds its socket, its parser and, until the next one comes, its last request and response: old objects that look
  retained, and are bounded by the connections.`
exports.route = 'GET /'
exports.load = { idle: 200 }

exports.healthy = app => {
  app.get('/', (_req, res) => res.end('welcome'))
}
