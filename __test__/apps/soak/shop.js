'use strict'

/* An exported Express app: one route retains a known size for each request, the others nothing in the end. */

const express = require('express')
const { keep } = require('./known.js')

const app = express()
const recent = new Map()

app.get('/exact', (_req, res) => {
  keep()
  res.end()
})
app.get('/articles/:id', (req, res) => {
  recent.set(req.params.id, { id: req.params.id, words: Array.from({ length: 50 }, (_, i) => i + 0.5) })
  if (recent.size > 100) recent.delete(recent.keys().next().value)
  res.json({ kept: recent.size })
})
app.post('/articles', express.json(), (req, res) => {
  if (req.get('x-key') !== 'secret' || req.body?.title !== 'new') return res.status(403).end()
  res.status(201).json(req.body)
})
// Comes and goes, too slowly for a short run to show.
const waves = []
app.get('/waves', (_req, res) => {
  waves.push(new Array(512).fill(0.5))
  if (waves.length > 400) waves.length = 0
  res.end()
})
app.get('/broken', (_req, res) => res.status(500).end('no database'))

module.exports = app
