'use strict'

/* Requests that do not end, for the record of a killed process. */

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const app = express()
app.use(plimsoll({ name: 'flight' }))
app.use(plimsoll.limit('100mb'))
app.get('/sleep/:id', () => {})
app.post('/upload/:id', req => req.resume())
app.get('/busy/:id', () => {
  for (;;);
})
app.get('/grow/:id', (_req, res) => {
  const held = []
  const more = () => {
    for (let i = 0; i < 20_000; i++) held.push({ i, text: `${i}` })
    if (held.length < 1e9) setImmediate(more)
    else res.json(held.length)
  }
  more()
})
app.get('/throw/:id', () => {
  setImmediate(() => {
    throw new TypeError('with a secret: hunter2')
  })
})
app.get('/ok/:id', (_req, res) => res.json({ ok: 1 }))
listen(app)
