'use strict'

/*
 * Receives uploads of up to 4 GB and stores them in a folder. It does not hold them in memory.
 *
 *   node examples/uploads.js /srv/uploads
 *   curl --data-binary @film.mp4 -H 'content-type: video/mp4' http://127.0.0.1:3000/files
 *   curl http://127.0.0.1:3000/files/<id>
 *   curl --data '{"a": 1}' -H 'content-type: application/json' http://127.0.0.1:3000/checksums
 */

const { createHash, randomUUID } = require('node:crypto')
const { mkdirSync } = require('node:fs')
const path = require('node:path')
const { pipeline } = require('node:stream/promises')
const express = require('express')
const plimsoll = require('..')

const folder = path.resolve(process.argv[2] ?? 'uploads')
mkdirSync(folder, { recursive: true })

const app = express()
app.use(plimsoll())
// In the destination folder, so that `moveTo` only renames the file.
app.use(plimsoll.spool({ memory: '256kb', dir: folder, limit: '4gb' }))

app.post('/files', async (req, res) => {
  if (req.body === undefined) return res.status(400).json({ error: 'no body' })
  const id = randomUUID()
  await req.body.moveTo(path.join(folder, id))
  res.status(201).json({ id, bytes: req.body.size })
})

app.post('/checksums', async (req, res) => {
  const hash = createHash('sha256')
  if (req.body !== undefined) await pipeline(req.body.stream(), hash)
  else hash.end()
  res.json({ sha256: hash.digest('hex') })
})

app.get('/files/:id', (req, res) => res.sendFile(path.basename(req.params.id), { root: folder }))

// 413: over the limit. 507: the disk is full. 400: the client has disconnected.
app.use((error, _req, res, _next) => res.status(error.status ?? 500).json({ error: error.type ?? 'internal' }))

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port} stores files in ${folder}`)
})
