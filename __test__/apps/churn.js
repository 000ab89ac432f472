'use strict'

/*
 * A route that fills the heap, so that V8 collects and compiles, and a small asynchronous one whose figures are
 * compared.
 */

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

/** The lowest figure that `usage()` has returned for any request. */
let least = 0

const app = express()
app.use(plimsoll({ recorder: false, async: true, leaks: false }))
app.get('/small', async (req, res) => {
  await new Promise(resolve => setTimeout(resolve, 1))
  least = Math.min(least, plimsoll.usage(req).heapBytes)
  res.send('ok')
})
let held = []
app.get('/churn', (_req, res) => {
  held = []
  for (let i = 0; i < 60_000; i++) held.push({ a: i, b: [i, i], c: `x${i}` })
  res.send('done')
})
listen(app, { least: () => least })
