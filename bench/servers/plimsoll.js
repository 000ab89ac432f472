'use strict'

const { userApp } = require('./bare')

function state() {
  const { requests, heap } = require('../..').stats()
  return {
    count: requests.total,
    inFlight: requests.inFlight,
    untracked: requests.untracked,
    note: heap.exact ? undefined : `the exact heap probe is off: ${heap.reason}`
  }
}

module.exports = {
  packages: ['express', '../../package.json'],
  state,
  create() {
    const plimsoll = require('../..')
    return { app: userApp(app => app.use(plimsoll())), state }
  }
}

if (require.main === module) require('../harness/serve')(module.exports, __filename)
