'use strict'

/* Leaks that need more than a plain request, or that all routes share. The last argument chooses one. */

const { openSync, closeSync } = require('node:fs')
const { EventEmitter } = require('node:events')
const http = require('node:http')
const express = require('express')
const { WebSocketServer } = require('ws')

const app = express()
const log = []

/** Each request leaves a line. */
function accessLog(req, _res, next) {
  log.push({ url: req.url, words: new Array(30).fill(req.url.length + 0.5) })
  next()
}

if (process.argv.at(-1) === 'alike') app.use(accessLog)

const seen = new Set()
app.get('/strings/:id', (req, res) => {
  seen.add(`${req.params.id}: ${'x'.repeat(100)}${req.params.id}`)
  res.end()
})
const rates = new Map()
app.get('/numbers/:id', (req, res) => {
  for (let part = 1; part <= 4; part++) rates.set(Number(req.params.id) + part / 8, Number(req.params.id) - part / 8)
  res.end()
})
app.get('/a', (_req, res) => res.end('a'))
app.get('/b', (_req, res) => res.end('b'))
app.get('/c', (_req, res) => res.status(404).end('no c'))
app.get('/d', (_req, res) => res.end('d'))
app.post('/uploads', (req, res) => {
  // Closed at the end of the body only.
  const file = openSync('/dev/null')
  req.resume().once('end', () => {
    closeSync(file)
    res.end()
  })
})

const server = http.createServer(app)
const bus = new EventEmitter().setMaxListeners(0)
const sockets = new WebSocketServer({ noServer: true })
server.on('upgrade', (req, socket, head) => {
  sockets.handleUpgrade(req, socket, head, client => {
    const words = []
    client.on('message', data => words.push(String(data)))
    // Never removed.
    if (req.url === '/feed') bus.on('news', () => client.send(words.join()))
  })
})

module.exports = server
