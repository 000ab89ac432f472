'use strict'

/* A bare app, or the same with plimsoll: for what stays on the JS heap after many requests. */

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const app = express()
if (process.argv[2] === 'plimsoll') {
  app.use(plimsoll())
  app.use(plimsoll.limit('1mb'))
}
app.get('/users/:id', (_req, res) => res.json({ ok: 1 }))
listen(app)
