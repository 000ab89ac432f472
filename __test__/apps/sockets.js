'use strict'

/* A listener on a bus for each WebSocket connection, which is removed at its end, or not. */

process.env.NODE_ENV = 'test'

const { EventEmitter } = require('node:events')
const express = require('express')
const { WebSocketServer } = require('ws')
const plimsoll = require('../..')
const listen = require('./support.js')

const leaks = process.argv[2] === 'leaks'
const bus = new EventEmitter().setMaxListeners(0)

const app = express()
app.use(plimsoll({ recorder: false, leaks: { snapshots: false } }))
app.get('/ping', (_req, res) => res.send('pong'))

const server = listen(app)
new WebSocketServer({ server }).on('connection', socket => {
  const history = new Array(4000).fill(socket.readyState)
  const onEvent = event => socket.send(`${event} ${history.length}`)
  bus.on('event', onEvent)
  if (!leaks) socket.on('close', () => bus.off('event', onEvent))
})
