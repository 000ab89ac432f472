'use strict'

/* A server that is stopped: with code of the test before and after `plimsoll()`. With `SCRIPT` it does not listen. */

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const run = code => new Function('require', code ?? '')(require)

run(process.env.BEFORE)
const app = express()
const log = process.env.LOG ? { info: console.info, warn: console.warn, error: console.error } : undefined
app.use(plimsoll({ name: 'stops', log }))
app.get('/ok', (_req, res) => res.json({ ok: 1 }))
run(process.env.AFTER)
if (process.env.SCRIPT) {
  console.log(JSON.stringify(plimsoll.lastDeath()))
  if (process.env.SCRIPT === 'wait') setInterval(() => {}, 1000)
} else listen(app, { count: name => process.listenerCount(name) })
