'use strict'

/* A worker that retains what it receives, under a budget. */

const { parentPort, workerData } = require('node:worker_threads')
const express = require('express')
const plimsoll = require('../..')

const app = express()
app.use(plimsoll())
app.use(plimsoll.limit({ limit: '1gb', budget: workerData.budget }))
app.post('/', express.raw({ type: () => true }), req => parentPort.postMessage({ held: req.body.length }))
const server = app.listen(0, '127.0.0.1', () => parentPort.postMessage({ port: server.address().port }))
