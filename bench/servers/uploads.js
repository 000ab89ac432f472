'use strict'

// Takes uploads in one of several ways, named by the argument, and answers with their size. Speaks JSON lines: { port, versions }.

const fs = require('node:fs')
const readline = require('node:readline')
const express = require('express')

const [kind, dir] = process.argv.slice(2)
const HUGE = '10gb'

const KINDS = {
  spool(app) {
    const plimsoll = require('../..')
    app.post('/', plimsoll.spool({ dir }), (req, res) => res.json({ size: req.body.size }))
    return ['plimsoll']
  },
  'multer-disk'(app) {
    const multer = require('multer')
    app.post('/', multer({ dest: dir }).single('file'), (req, res, next) => {
      fs.unlink(req.file.path, error => (error ? next(error) : res.json({ size: req.file.size })))
    })
    return ['multer']
  },
  'express-raw'(app) {
    app.post('/', express.raw({ type: () => true, limit: HUGE }), (req, res) => res.json({ size: req.body.length }))
    return ['express']
  }
}

const app = express()
const packages = KINDS[kind](app)
const server = app.listen(0, '127.0.0.1', () => {
  const versions = {}
  for (const name of packages) {
    versions[name] = require(name === 'plimsoll' ? '../../package.json' : `${name}/package.json`).version
  }
  process.stdout.write(`${JSON.stringify({ port: server.address().port, versions })}\n`)
})
readline.createInterface({ input: process.stdin }).on('close', () => {
  server.close(() => process.exit(0))
  server.closeAllConnections()
})
