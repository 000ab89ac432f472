'use strict'

/*
 * An Express server that leaks in one route, to try a leak test on: it has no line of Plimsoll.
 *
 *   npx plimsoll soak examples/leaky/app.js
 */

const express = require('express')
const { shop } = require('./shop.js')

const app = express()
app.use(shop())
app.listen(process.env.PORT ?? 3000)
