'use strict'

const express = require('express')

// The app of every subject. Only `install` may differ between them.
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
  // `count`: the requests to the route that the subject has counted, or `null` if it counts none. It is compared with the
  // number of requests that were sent.
  create: () => ({ app: userApp(), state: () => ({ count: null }) })
}

if (require.main === module) require('../harness/serve')(module.exports, __filename)
