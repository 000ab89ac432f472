'use strict'

/* An app that cannot be created: any value may be thrown. */

const { hostile } = require('../../support/hostile.js')

module.exports = () => {
  throw hostile.find(([what]) => what === process.env.THROWS)[1]()
}
