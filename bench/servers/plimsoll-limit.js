'use strict'

const { userApp } = require('./bare')
const { packages, state } = require('./plimsoll')

module.exports = {
  packages,
  create() {
    const plimsoll = require('../..')
    return {
      app: userApp(app => {
        app.use(plimsoll())
        app.use(plimsoll.limit('10mb'))
      }),
      state
    }
  }
}

if (require.main === module) require('../harness/serve')(module.exports, __filename)
