'use strict'

/* Handlers that allocate a known amount, each under two routes: one to warm it up, one to measure. */

const express = require(process.env.EXPRESS ?? 'express')
const plimsoll = require('../..')
const listen = require('./support.js')

// Prevents that the allocations are optimised away.
let held

const kinds = {
  nothing(_req, res) {
    res.json({ ok: 1 })
  },
  doubles(_req, res) {
    held = new Array(131_072).fill(1.5)
    res.json({ ok: 1 })
  },
  // A chain, not an array: a large array also costs the unused rest at the end of a page.
  objects(_req, res) {
    let chain = null
    for (let i = 0; i < 10_000; i++) chain = { a: i, b: i, before: chain }
    held = chain
    res.json({ ok: 1 })
  }
}

const app = express()
app.use(plimsoll())
for (const [kind, handler] of Object.entries(kinds)) {
  app.get(`/warm/${kind}`, handler)
  app.get(`/measured/${kind}`, handler)
}
listen(app, { held: () => typeof held })
