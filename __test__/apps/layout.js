'use strict'

/* An app whose probe looks for V8's figures in the wrong place. */

process.env.NODE_ENV = 'test'
require('../../lib/runtime.js').state.layoutShift = Number(process.argv[2])

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const app = express()
app.use(plimsoll({ name: 'layout' }))
app.use(plimsoll.limit('1kb'))
app.use(plimsoll.shed())
app.get('/rows/:id', (_req, res) => res.json(Array.from({ length: 1000 }, (_, id) => ({ id }))))
app.post('/up', express.raw({ type: () => true }), (_req, res) => res.end())
listen(app, { metrics: () => plimsoll.metrics.text(), heap: () => require('node:v8').getHeapStatistics() })
