'use strict'

/* One app of the corpus with everything watched, for a process of its own: `serve.js <app> <leaky|healthy>`. */

process.env.NODE_ENV = 'test'

const express = require('express')
const plimsoll = require('../..')
const listen = require('../apps/support.js')

const [name, twin] = process.argv.slice(2)
const { [twin]: routes, watch } = require(`./apps/${name}.js`)

const app = express()
app.use(plimsoll({ recorder: false, watch: true }))
app.use(plimsoll.scope())
plimsoll.watchListeners(watch)
routes(app)
app.use((error, _req, res, _next) => {
  if (!res.headersSent) res.status(500).end(error.stack)
})
process.on('warning', () => {})

listen(app, { findings: () => plimsoll.stats() })
