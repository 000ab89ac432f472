'use strict'

/* Fills and empties its heap, and blocks its event loop, on request. */

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

let held = []

const app = express()
app.use(plimsoll())
app.get('/garbage', (_req, res) => {
  let last
  for (let i = 0; i < 200_000; i++) last = { i, before: [i] }
  res.json(last.i)
})
app.get('/block', (_req, res) => {
  const end = Date.now() + 700
  while (Date.now() < end);
  res.json({ ok: 1 })
})
listen(app, {
  hold: megabytes => {
    held = Array.from({ length: megabytes * 8 }, () => new Array(16_384).fill(0))
    return held.length
  }
})
