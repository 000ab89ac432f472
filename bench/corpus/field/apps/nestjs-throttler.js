'use strict'

/* Each key has a timer until its window ends. The timers are bounded, so nothing leaks. */

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
exports.expected = { routes: [], holder: null, addedBy: null }
exports.paths = [
  ['GET', '/users/:n'],
  ['GET', '/health']
]
exports.rate = 200

exports.healthy = app => {
  const storage = new ThrottlerStorageService()
  app.use(async (req, _res, next) => {
    await storage.increment(req.url, 30_000, 10, 0, 'default')
    next()
  })
  app.get('/users/:id', (req, res) => res.json({ id: req.params.id }))
  app.get('/health', (_req, res) => res.send('ok'))
}
