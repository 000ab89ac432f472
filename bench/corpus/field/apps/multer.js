'use strict'

/* multer's disk storage leaves the file of an upload open when the client disconnects in the middle. */

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { pipeline } = require('node:stream')
const multer = require('multer')

exports.report = 'expressjs/multer#971, #1120'
exports.packages = { multer: '1.4.5-lts.1' }
exports.expected = { routes: ['POST /upload'], class: 'file descriptors', holder: null, addedBy: null }
exports.paths = [
  ['POST', '/upload', 'abort'],
  ['GET', '/ping'],
  ['GET', '/products/:n']
]
exports.rate = 60

function routes(app) {
  app.get('/ping', (_req, res) => res.send('pong'))
  app.get('/products/:id', (req, res) => res.json({ id: req.params.id }))
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-multer-'))
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

exports.leaky = app => {
  const upload = multer({ dest: routes(app) })
  app.post('/upload', upload.single('file'), (req, res) => res.json({ size: req.file?.size }))
}

/** Stores the body itself, and closes the file whatever happens. */
exports.healthy = app => {
  const folder = routes(app)
  let number = 0
  app.post('/upload', (req, res) => {
    number += 1
    pipeline(req, fs.createWriteStream(path.join(folder, `${number % 100}`)), error => {
      if (!error) res.json({ stored: true })
    })
  })
}
