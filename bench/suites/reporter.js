'use strict'

const { openSync, writeSync } = require('node:fs')

/** A reporter for every version of Mocha. Writes a JSON line after each test, so that a stopped run has results too. */
module.exports = class Lines {
  constructor(runner) {
    const file = openSync(process.env.PLIMSOLL_SUITES_TESTS, 'a')
    const write = (test, passed, error) => {
      const title = test.fullTitle().trim()
      writeSync(file, `${JSON.stringify({ title, passed, message: error && String(error.message ?? error) })}\n`)
    }
    runner.on('pass', test => write(test, true))
    runner.on('fail', (test, error) => write(test, false, error))
  }
}
