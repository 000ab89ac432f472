'use strict'

/* A bare app, or one with plimsoll, or with all its watchers: for what stays on the JS heap after many requests. */

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const app = express()
if (process.argv[2] === 'plimsoll') {
  app.use(plimsoll())
  app.use(plimsoll.limit('1mb'))
}
if (process.argv[2] === 'watched') {
  app.use(plimsoll({ watch: true }))
  app.use(plimsoll.scope())
  plimsoll.watchListeners()
  app.use((req, _res, next) => {
    req.scope.defer(() => {})
    req.scope.use(setTimeout(() => {}, 60_000))
    // A function of its own: if several are the same function, Node removes the last, which is another request's.
    const listener = () => {}
    process.once('SIGHUP', listener)
    req.scope.defer(() => process.off('SIGHUP', listener))
    next()
  })
}
app.get('/users/:id', (_req, res) => res.json({ ok: 1 }))
listen(app)
