'use strict'

// Functions made in one scope share its variables: the one that stays keeps what only its sibling used, and the one before.

exports.mechanism = 'sibling closures that chain old values'
exports.expected = { kind: 'retained', route: 'GET /price', place: 'handler' }

let current = null

exports.leaky = app => {
  // handler
  app.get('/price', (req, res) => {
    const before = current
    // Never called, but it puts `before` and `req` into the scope that `current` keeps.
    const unused = () => before && req
    current = { price: () => 'no need of anything', unused: unused.name }
    res.end(current.price())
  })
}

exports.healthy = app => {
  app.get('/price', (_req, res) => {
    current = { price: () => 'no need of anything' }
    res.end(current.price())
  })
}
