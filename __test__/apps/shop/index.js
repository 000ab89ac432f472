'use strict'

/* The shop with Plimsoll by its defaults. */

const express = require('express')
const plimsoll = require('../../..')
const listen = require('../support.js')
const shop = require('./app.js')

const app = express()
app.use(plimsoll())
listen(shop(app))
