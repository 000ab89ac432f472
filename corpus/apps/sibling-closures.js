'use strict'

exports.mechanism = 'sibling closures that chain old values'
exports.about = `
  Functions that are created in one scope share its variables. \`price\` needs none of them, but it holds the scope. The scope
  holds \`before\` and \`req\`, because \`unused\` refers to them. So each price retains the one before it, and thus all of them.`
exports.reference = 'https://blog.meteor.com/an-interesting-kind-of-javascript-memory-leak-8b47d2e7f156'
exports.route = 'GET /price'
exports.expected = { leak: true, kinds: { retained: 'handler' }, class: 'IncomingMessage', holder: 'current' }

let current = null

exports.leaky = app => {
  // handler
  app.get('/price', (req, res) => {
    const before = current
    const unused = () => before && req
    current = { price: () => 'no need of anything', unused: unused.name } // leak
    res.end(current.price())
  })
}

exports.healthy = app => {
  app.get('/price', (_req, res) => {
    current = { price: () => 'no need of anything' }
    res.end(current.price())
  })
}
