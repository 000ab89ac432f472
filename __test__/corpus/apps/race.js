'use strict'

// Each race leaves a reaction on the promise that never settles, and with it what the race came to.

exports.mechanism = '`Promise.race` against a promise that never settles'
// From Node 26 on V8 lets go of what a settled race came to.
exports.below = 26
exports.expected = { kind: 'retained', route: 'GET /orders/:id', place: 'handler' }

exports.leaky = app => {
  const shutdown = new Promise(() => {})
  // handler
  app.get('/orders/:id', async (req, res) => {
    const order = await Promise.race([shutdown, load(req)])
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
