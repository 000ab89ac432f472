'use strict'

/* Exports the app of one twin of the corpus, for `plimsoll soak`: `soak-app.js <file> <twin>`. */

const [file, twin] = process.argv.slice(2)
const { [twin]: routes } = require(file)

module.exports = async () => {
  const app = require('express')()
  // A second route, which must pass.
  app.get('/ping', (_req, res) => res.json({ pong: Array.from({ length: 50 }, (_, i) => ({ i })) }))
  await routes(app)
  return app
}
