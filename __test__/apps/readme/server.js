'use strict'

/* The shop as the README's first snippet has it in production. */

const express = require('express')
const plimsoll = require('../../..')
const listen = require('../support.js')

const app = express()
app.use(plimsoll({ leaks: { snapshots: true } }))
app.use(require('./app.js'))
listen(app)
