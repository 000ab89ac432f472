'use strict'

/*
 * Runs an app of the field corpus with Plimsoll and its defaults, in a folder with the packages of the app:
 * `node serve.js <app> <twin>`.
 */

const express = require('express')
const plimsoll = require('plimsoll')

const [name, twin] = process.argv.slice(2)
const app = express()
app.use(plimsoll())
require(`./apps/${name}.js`)[twin](app)
const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
process.on('message', () => {
  const { findings, trend, requests, faults } = plimsoll.stats()
  process.send({ stats: { findings, trend: trend.heap, requests, faults } })
})
process.on('disconnect', () => process.exit())
