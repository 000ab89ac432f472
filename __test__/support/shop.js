'use strict'

/* The load of the shop (apps/shop): a repeated mix of its routes, over several connections at a rate. */

const http = require('node:http')
const { setTimeout: pause } = require('node:timers/promises')

/** Method, path and share of the mix. `:id` is a new number each time. */
const MIX = [
  ['GET', '/', 2],
  ['GET', '/health', 3],
  ['GET', '/users', 4],
  ['GET', '/users/:id', 6],
  ['POST', '/users', 2],
  ['PUT', '/users/:id', 2],
  ['DELETE', '/users/:id', 1],
  ['GET', '/users/:id/avatar', 3],
  ['GET', '/orders', 4],
  ['GET', '/orders/:id', 4],
  ['POST', '/orders', 3],
  ['PUT', '/orders/:id', 1],
  ['GET', '/orders/:id/items', 3],
  ['GET', '/reports', 2],
  ['GET', '/reports/:id', 3],
  ['POST', '/reports/:id/run', 1],
  ['GET', '/search', 4],
  ['GET', '/products', 5],
  ['GET', '/products/:id', 5],
  ['POST', '/products', 1],
  ['GET', '/cart', 2],
  ['POST', '/cart/items', 2],
  ['GET', '/categories/:id', 2]
].flatMap(([method, path, share]) => Array(share).fill({ method, path }))

const BODY = JSON.stringify({ sku: 1, note: 'hello there', quantity: 3 })
const STRIDE = 27

/** Sends the mix to a port until `signal` aborts, `rate` requests a second over `connections`. Resolves to the number of requests. */
async function load(port, { rate = 300, connections = 8, signal }) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  const begun = performance.now()
  let sent = 0
  const one = async () => {
    while (!signal.aborted) {
      const number = sent++
      const { method, path } = MIX[(number * STRIDE) % MIX.length]
      await request(agent, port, method, path.replace(':id', String(number % 997)))
      const ahead = begun + (sent * 1000) / rate - performance.now()
      if (ahead > 0) await pause(ahead)
    }
  }
  await Promise.all(Array.from({ length: connections }, one))
  agent.destroy()
  return sent
}

function request(agent, port, method, path) {
  return new Promise((resolve, reject) => {
    const headers = method === 'POST' || method === 'PUT' ? { 'content-type': 'application/json' } : {}
    const sending = http.request({ host: '127.0.0.1', port, method, path, agent, headers }, res => {
      res.resume()
      res.on('end', resolve)
      res.on('error', reject)
    })
    sending.on('error', reject)
    sending.end(headers['content-type'] === undefined ? undefined : BODY)
  })
}

module.exports = { load }
