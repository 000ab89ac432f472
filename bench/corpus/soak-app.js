'use strict'

/* One twin of the corpus as a module that exports its app, for `plimsoll soak`: `soak-app.js <file> <twin>`. */

const [file, twin] = process.argv.slice(2)
const { [twin]: routes } = require(file)

module.exports = async () => {
  const app = require('express')()
  // Beside the app's own traffic, so that there is a route to acquit.
  app.get('/ping', (_req, res) => res.json({ pong: Array.from({ length: 50 }, (_, i) => ({ i })) }))
  await routes(app)
  return app
}
