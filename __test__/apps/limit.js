'use strict'

/* Handlers that would retain a whole body, with a limit. */

process.env.NODE_ENV = 'test'

const express = require(process.env.EXPRESS ?? 'express')
const multer = require('multer')
const plimsoll = require('../..')
const listen = require('./support.js')

const app = express()
app.use(plimsoll())
app.use(plimsoll.limit('100kb'))
app.post('/json', express.json({ limit: '1gb' }), (_req, res) => res.json({}))
app.post('/raw', express.raw({ type: () => true, limit: '1gb' }), (_req, res) => res.json({}))
app.post('/multer', multer({ storage: multer.memoryStorage() }).single('file'), (_req, res) => res.json({}))
app.post('/data', (req, res) => {
  const pieces = []
  req.on('data', piece => pieces.push(piece))
  req.on('end', () => res.json({}))
})
listen(app, {
  peak: () => process.resourceUsage().maxRSS * 1024
})
