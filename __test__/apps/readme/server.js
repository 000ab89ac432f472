'use strict'

/* The shop in production, as in the README's first snippet. */

const express = require('express')
const plimsoll = require('../../..')
const listen = require('../support.js')

const app = express()
app.use(plimsoll({ leaks: { snapshots: true } }))
app.use(require('./app.js'))
listen(app)
