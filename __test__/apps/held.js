'use strict'

/* Three ways to retain a request after its end: for some seconds, for longer than a finding takes, and forever. */

process.env.NODE_ENV = 'test'

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const SOON_MS = 8_000
const LATE_MS = 30_000

const recent = new Map()
const kept = []
const messages = []
plimsoll.on('finding', message => message.kind === 'retained' && messages.push(message))

const app = express()
app.use(plimsoll({ recorder: false, watch: { retained: true } }))
app.get('/soon', (req, res) => {
  const timer = setTimeout(() => recent.delete(timer), SOON_MS)
  recent.set(timer, req)
  res.end()
})
app.get('/late', (req, res) => {
  const timer = setTimeout(() => recent.delete(timer), LATE_MS)
  recent.set(timer, req)
  res.end()
})
app.get('/forever', (req, res) => {
  kept.push(req)
  res.end()
})

listen(app, { messages: () => messages })
