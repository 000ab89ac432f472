'use strict'

/* ROUTES routes, each of which responds with two classes of status, and scrapes of all kinds. */

const crypto = require('node:crypto')
const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const app = express()
app.use(plimsoll({ name: 'metrics-size' }))
app.get('/metrics', plimsoll.metrics())
app.get('/metrics/all', plimsoll.metrics({ histograms: 'all' }))
app.get('/metrics/none', plimsoll.metrics({ histograms: 'none' }))
for (let i = 0; i < Number(process.env.ROUTES); i++) {
  app.get(`/r${i}/:id`, (req, res) => res.sendStatus(req.params.id === 'found' ? 200 : 404))
}

let held = false
listen(app, {
  /** Keeps a thread of libuv's pool busy until the process ends. */
  holdPool() {
    held = true
    crypto.pbkdf2('a', 'b', 2 ** 31 - 1, 8, 'sha512', () => {
      held = false
    })
    return true
  },
  poolHeld: () => held
})
