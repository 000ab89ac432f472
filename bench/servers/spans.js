'use strict'

const express = require('express')
const { state } = require('./plimsoll')

// The environment variable SPANS is JSON with `options` (of plimsoll(), `null` for the bare app) and `awaits`, the number
// of promises that a request awaits.
const { options, awaits } = JSON.parse(process.env.SPANS ?? '{"options":null,"awaits":0}')

async function handler(_req, res) {
  for (let i = 0; i < awaits; i++) await null
  res.json({ ok: 1 })
}

module.exports = {
  packages: ['express', '../../package.json'],
  create() {
    const app = express()
    if (options !== null) app.use(require('../..')(options))
    app.get('/users/:id', awaits > 0 ? handler : (_req, res) => res.json({ ok: 1 }))
    return { app, state: options === null ? () => ({ count: null }) : state }
  }
}
