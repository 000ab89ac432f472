'use strict'

/*
 * A request of GET /later leaves something behind for up to half a second, like undici's timers. By the end of a block
 * of GET /slow it has gone.
 */

const express = require('express')

const TICK_MS = 500
/** 150 of them over 4 connections take longer than a tick. */
const SLOW_MS = 15
let left = []
setInterval(() => {
  left = []
}, TICK_MS).unref()

const app = express()
app.get('/later', (_req, res) => {
  left.push(new Array(200).fill(0.5))
  res.send('ok')
})
app.get('/slow', (_req, res) => setTimeout(() => res.send('ok'), SLOW_MS))
app.listen(process.env.PORT)
