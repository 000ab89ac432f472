'use strict'

/* An app in worker threads that are created and ended on request. The main thread has one too. */

const { once } = require('node:events')
const { Worker, isMainThread, parentPort } = require('node:worker_threads')
const express = require('express')
const plimsoll = require('../..')

function app() {
  const app = express()
  app.use(plimsoll({ name: 'workers' }))
  app.get('/hello', (_req, res) => res.json({ ok: 1 }))
  return app
}

if (isMainThread) {
  const listen = require('./support.js')
  const workers = []
  listen(app(), {
    /** Starts a worker and returns its port. */
    async begin() {
      const worker = new Worker(__filename)
      workers.push(worker)
      const [port] = await once(worker, 'message')
      return port
    },
    async end() {
      const worker = workers.shift()
      worker.postMessage('end')
      await once(worker, 'exit')
      return workers.length
    },
    async terminate() {
      await workers.shift().terminate()
      return workers.length
    },
    rss: () => {
      global.gc?.()
      return process.memoryUsage.rss()
    }
  })
} else {
  const server = app().listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
  parentPort.on('message', () => {
    server.closeAllConnections()
    server.close()
    parentPort.close()
  })
}
