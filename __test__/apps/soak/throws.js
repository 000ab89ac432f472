'use strict'

/* An app that cannot be made: what is thrown need not be an error. */

const { hostile } = require('../../support/hostile.js')

module.exports = () => {
  throw hostile.find(([what]) => what === process.env.THROWS)[1]()
}
