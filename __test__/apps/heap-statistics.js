'use strict'

/* Writes heap statistics to the file that it is given, ten times a second. */

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const [file, maxBytes = '10mb'] = process.argv.slice(2)
const app = express()
app.use(plimsoll({ name: 'heap-statistics', stats: { file, intervalMs: 100, maxBytes, keep: 2 } }))
app.get('/ok', (_req, res) => res.end('ok'))
app.get('/throw', () => {
  setImmediate(() => {
    throw new Error('on purpose')
  })
})
listen(app)
