'use strict'

/* An app with plimsoll that reports its own figures, which must be available under soak too. */

const express = require('express')
const plimsoll = require('../../..')

const app = express()
app.use(plimsoll({ name: 'soaked', recorder: process.env.RECORDER ? { dir: process.env.RECORDER } : false }))
app.get('/users/:id', (req, res) => res.json({ id: req.params.id }))
app.post('/orders', (_req, res) => res.end())
app.get('/seen', (_req, res) => {
  const { requests, routes } = plimsoll.stats()
  const known = routes.some(({ route }) => route === '/users/:id')
  res.status(requests.total > 100 && known ? 200 : 500).end(JSON.stringify({ requests, routes }))
})

module.exports = app
if (process.send && process.env.RECORDER) {
  const server = app.listen(0, '127.0.0.1', () => process.send({ topic: 'listening', port: server.address().port }))
}
