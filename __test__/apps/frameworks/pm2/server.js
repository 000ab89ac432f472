'use strict'

/* A worker of PM2. Writes its port to a file in `PORTS` that is named after the app and the process. */

const { writeFileSync } = require('node:fs')
const { join } = require('node:path')
const express = require('express')
const front = require('../front.js')
const plimsoll = require('../../../..')

const app = express()
for (const middleware of front) app.use(middleware)
if (front.length > 0) app.get('/metrics', plimsoll.metrics())
app.get('/stats', (_req, res) => res.json({ ...plimsoll.stats(), pid: process.pid }))
app.get('/hello/:name', (req, res) => res.json({ hello: req.params.name }))
app.post('/echo', express.json(), (req, res) => res.json(req.body))
const server = app.listen(0, process.env.HOST, () =>
  writeFileSync(join(process.env.PORTS, `${process.env.name} ${process.pid}`), String(server.address().port))
)
