'use strict'

/* Four cluster workers that share one port. */

const cluster = require('node:cluster')
const express = require('express')
const plimsoll = require('../..')

if (cluster.isPrimary) {
  let ready = 0
  for (let i = 0; i < 4; i++) {
    const worker = cluster.fork()
    worker.on('listening', ({ port }) => {
      ready += 1
      if (ready === 4) process.send({ topic: 'listening', port })
    })
  }
  process.on('disconnect', () => process.exit())
} else {
  const app = express()
  app.use(plimsoll({ name: 'cluster' }))
  app.get('/who', (_req, res) => res.json({ pid: process.pid }))
  app.get('/metrics', plimsoll.metrics())
  app.get('/metrics/own', plimsoll.metrics({ scope: 'process' }))
  app.listen(0, '127.0.0.1')
}
