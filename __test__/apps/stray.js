'use strict'

/* A router that is created for each request, below a mount with a parameter: only the request's URL shows its place. */

const plimsoll = require('../..')
const listen = require('./support.js')

const express = require(process.env.EXPRESS || 'express')
const app = express()
const track = plimsoll({ name: 'stray' })
app.use('/made/:secret', (req, res, next) => {
  const made = express.Router()
  made.use(track)
  made.get('/x', (_req, res) => res.end())
  made(req, res, next)
})
listen(app, { metrics: () => plimsoll.metrics.text() })
