'use strict'

/* Several kinds of readers with a limit of 1 MiB, and the number of connections. */

process.env.NODE_ENV = 'test'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const express = require('express')
const multer = require('multer')
const plimsoll = require('../..')
const listen = require('./support.js')

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-heard-'))
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))

const app = express()
app.use(plimsoll())
app.use(plimsoll.limit(JSON.parse(process.env.LIMIT ?? '"1mb"')))
app.post('/raw', express.raw({ type: () => true, limit: '1gb' }), (req, res) => res.json(req.body.length))
app.post('/multer', multer().single('file'), (_req, res) => res.json({}))
app.post('/data', (req, res) => req.resume().on('end', () => res.json({})))
app.post('/file', (req, res) => {
  const file = fs.createWriteStream(path.join(folder, String(Math.random())))
  file.on('finish', () => res.json({}))
  req.pipe(file)
})
app.post('/answers', (_req, res) => res.status(401).end())
const server = listen(app, {
  connections: () => new Promise(resolve => server.getConnections((_error, count) => resolve(count)))
})
if (process.env.ATTACH) plimsoll.attach(server)
