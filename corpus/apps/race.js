'use strict'

exports.mechanism = '`Promise.race` against a promise that never settles'
exports.about = `
  Each race adds a reaction to both of its promises. The promise that never settles retains all of them, and each retains
  the result of its race: here the order with its request. V8 releases the result of a settled race from Node 26 on.`
exports.reference = 'https://github.com/nodejs/node/issues/17469'
exports.route = 'GET /orders/:id'
exports.expected = { leak: true, kinds: { retained: 'handler' }, class: 'IncomingMessage', holder: 'shutdown' }
exports.below = 26

exports.leaky = app => {
  const shutdown = new Promise(() => {})
  // handler
  app.get('/orders/:id', async (req, res) => {
    const order = await Promise.race([shutdown, load(req)]) // leak
    res.json({ id: order.by.params.id })
  })
}

exports.healthy = app => {
  app.get('/orders/:id', async (req, res) => {
    const timeout = new Promise(() => {})
    const order = await Promise.race([timeout, load(req)])
    res.json({ id: order.by.params.id })
  })
}

async function load(req) {
  await new Promise(setImmediate)
  return { by: req }
}
