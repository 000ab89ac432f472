'use strict'

/* A router that is made for each request, below a mount with a parameter: its place is known by the request's URL only. */

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
