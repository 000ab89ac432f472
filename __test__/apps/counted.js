'use strict'

/* A cluster of `WORKERS` that share one port. A worker that ends is replaced. */

const cluster = require('node:cluster')
const express = require('express')
const plimsoll = require('../..')

if (cluster.isPrimary) {
  let ready = 0
  const answers = {
    pids: () => Object.values(cluster.workers).map(worker => worker.process.pid),
    /** How many have listened in total. */
    ready: () => ready
  }
  cluster.on('listening', (_worker, { port }) => {
    ready += 1
    if (ready === Number(process.env.WORKERS)) process.send({ topic: 'listening', port })
  })
  cluster.on('exit', () => cluster.fork())
  for (let i = 0; i < Number(process.env.WORKERS); i++) cluster.fork()
  process.on('message', ({ question }) => process.send({ topic: question, value: answers[question]() }))
  process.on('disconnect', () => process.exit())
} else {
  const app = express()
  app.use(plimsoll({ name: 'counted' }))
  app.get('/users/:id', (_req, res) => res.json({ pid: process.pid }))
  app.post('/echo', express.text(), (req, res) => res.send(req.body))
  app.get('/metrics', plimsoll.metrics())
  app.listen(0, '127.0.0.1')
}
