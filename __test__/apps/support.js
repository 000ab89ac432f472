'use strict'

/* The child's end of `support/child.js`: listens, and answers the test's questions over IPC. */

const plimsoll = require('../..')

const answers = {
  stats: () => plimsoll.stats(),
  lastDeath: () => plimsoll.lastDeath(),
  memory: () => process.memoryUsage(),
  snapshot: path => plimsoll.snapshot({ path }),
  gc: () => {
    for (let i = 0; i < 4; i++) global.gc()
    return process.memoryUsage()
  },
  exit: code => process.exit(code)
}

/** Listens on a free loopback port and sends it to the test. `more` answers further questions. */
module.exports = function listen(app, more = {}) {
  const server = app.listen(0, '127.0.0.1', () => process.send({ topic: 'listening', port: server.address().port }))
  // By default a connection that was idle for five seconds is closed: on a busy machine just when the test writes the
  // next request to it.
  server.keepAliveTimeout = 600_000
  process.on('message', async ({ question, detail }) => {
    const value = await { ...answers, ...more }[question](detail)
    process.send({ topic: question, value })
  })
  process.on('disconnect', () => process.exit())
  return server
}
