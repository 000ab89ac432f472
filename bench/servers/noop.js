'use strict'

const { userApp } = require('./bare')

// What two layers of Express cost before they do anything.
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
