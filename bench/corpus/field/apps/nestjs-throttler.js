'use strict'

/* The storage deletes no key: it grows with the number of keys. With as many keys as there are users, its timers and entries are bounded. */

require('reflect-metadata')
const { ThrottlerStorageService } = require('@nestjs/throttler')

exports.report = 'nestjs/throttler#2629'
exports.packages = {
  '@nestjs/throttler': '6.4.0',
  '@nestjs/common': '11.1.6',
  '@nestjs/core': '11.1.6',
  'reflect-metadata': '0.2.2',
  rxjs: '7.8.2'
}
exports.expected = { routes: ['GET /users/:id'], holder: /_storage/, addedBy: null }
exports.paths = [
  ['GET', '/users/:n'],
  ['GET', '/health']
]
exports.rate = 200

const USERS = 500

function routes(app, keyOf) {
  const storage = new ThrottlerStorageService()
  app.get('/users/:id', async (req, res) => {
    await storage.increment(keyOf(req), 30_000, 10, 0, 'default')
    res.json({ id: req.params.id })
  })
  app.get('/health', (_req, res) => res.send('ok'))
}

exports.leaky = app => routes(app, req => req.url)

exports.healthy = app => routes(app, req => String(Number(req.params.id) % USERS))
