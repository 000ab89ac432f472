'use strict'

/* Each request creates a schema object, and `compile` caches each schema object. */

const Ajv = require('ajv')

exports.report = 'ajv-validator/ajv#1413, #1763, #2557'
exports.packages = { ajv: '8.17.1' }
exports.expected = { routes: ['POST /orders'], holder: /_cache|scope|refs|ajv/i, addedBy: null }
exports.paths = [
  ['POST', '/orders'],
  ['GET', '/products/:n'],
  ['GET', '/health']
]
exports.rate = 100

const schema = () => ({
  type: 'object',
  properties: { id: { type: 'integer' }, name: { type: 'string' } },
  required: ['id'],
  additionalProperties: false
})

function routes(app, validator) {
  app.post('/orders', (_req, res) => res.json({ valid: validator()({ id: 1, name: 'x' }) }))
  app.get('/products/:id', (req, res) => res.json({ id: req.params.id }))
  app.get('/health', (_req, res) => res.send('ok'))
}

exports.leaky = app => {
  const ajv = new Ajv()
  routes(app, function validateOrder() {
    return ajv.compile(schema())
  })
}

exports.healthy = app => {
  const validate = new Ajv().compile(schema())
  routes(app, () => validate)
}
