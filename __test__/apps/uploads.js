'use strict'

/* Files of uploads that the client aborts stay open, as in multer 1.4.5-lts.1. Another route closes what it opens. */

process.env.NODE_ENV = 'test'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-uploads-'))
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
let files = 0

const app = express()
app.use(plimsoll({ recorder: false }))
app.post('/upload', (req, res) => {
  files += 1
  const file = fs.createWriteStream(path.join(folder, `${files % 100}`)) // opened
  req.pipe(file)
  file.on('finish', () => res.send('stored'))
})
app.get('/read', (_req, res) => fs.createReadStream(__filename).pipe(res))

listen(app)
