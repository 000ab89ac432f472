'use strict'

const express = require('express')

// Every subject answers the same route in the same way; `install` is all that may differ between them.
function userApp(install = () => {}) {
  const app = express()
  install(app)
  app.get('/users/:id', (_req, res) => {
    res.json({ ok: 1 })
  })
  return app
}

module.exports = {
  packages: ['express'],
  userApp,
  // state().count is what the subject has counted of the route's requests: a subject that counts nothing is not measured.
  create: () => ({ app: userApp(), state: () => ({ count: null }) })
}

if (require.main === module) require('../harness/serve')(module.exports, __filename)
