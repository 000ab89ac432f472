'use strict'

const { openSync, writeSync } = require('node:fs')

/** A reporter for every version of Mocha: a JSON line for each test, so that a run that is stopped has told what it knew. */
module.exports = class Lines {
  constructor(runner) {
    const file = openSync(process.env.PLIMSOLL_SUITES_TESTS, 'a')
    const tell = (test, passed, error) => {
      const title = test.fullTitle().trim()
      writeSync(file, `${JSON.stringify({ title, passed, message: error && String(error.message ?? error) })}\n`)
    }
    runner.on('pass', test => tell(test, true))
    runner.on('fail', (test, error) => tell(test, false, error))
  }
}
