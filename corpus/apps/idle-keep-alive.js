'use strict'

exports.mechanism = 'idle keep-alive connections'
exports.about = `
  Two hundred connections have sent one request and stay open. Each holds its socket, its parser, and its last request
  and response until the next one. These old objects look retained, but the number of connections bounds them.`
exports.route = 'GET /'
exports.load = { idle: 200 }

exports.healthy = app => {
  app.get('/', (_req, res) => res.end('welcome'))
}
