'use strict'

const { userApp } = require('./bare')

// Shows the cost of two layers of Express that do nothing.
module.exports = {
  packages: ['express'],
  create: () => ({
    app: userApp(app => {
      app.use((_req, _res, next) => next())
      app.use((_req, _res, next) => next())
    }),
    state: () => ({ count: null })
  })
}

if (require.main === module) require('../harness/serve')(module.exports, __filename)
