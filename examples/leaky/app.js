'use strict'

/*
 * An Express server that leaks in one route, for a leak test. It does not use Plimsoll.
 *
 *   npx plimsoll soak examples/leaky/app.js
 */

const express = require('express')
const { shop } = require('./shop.js')

const app = express()
app.use(shop())
app.listen(process.env.PORT ?? 3000)
