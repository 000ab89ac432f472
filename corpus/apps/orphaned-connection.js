'use strict'

const { Pool } = require('../lib/pool.js')

exports.mechanism = 'a pool time-out that orphans the connection'
exports.about = `
  The request stops waiting for a connection, but the pool still delivers it, and no caller releases it. Each time the database is slow
  for a moment, a few connections are lost, and it gets slower. The cause is a time-out that races the pool, not the time-out of the pool.`
exports.reference = 'https://github.com/brianc/node-postgres/issues/3543'
exports.route = 'GET /slow'
exports.expected = { leak: true, kinds: { unclosed: 'leak' }, class: 'Connection', holder: 'Pool' }
exports.load = { requests: 2000, statuses: [503] }

const TIMEOUT_MS = 20

const pool = new Pool({ max: 1000, ping: true })
exports.pools = [pool]
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

exports.leaky = app => {
  // handler
  app.get('/slow', async (_req, res) => {
    const client = await Promise.race([pool.acquire(), pause(TIMEOUT_MS)]) // leak
    if (!client) return res.status(503).end()
    pool.release(client)
    res.end()
  })
}

exports.healthy = app => {
  app.get('/slow', async (_req, res) => {
    const taken = pool.acquire()
    const client = await Promise.race([taken, pause(TIMEOUT_MS)])
    if (!client) {
      taken.then(late => pool.release(late))
      return res.status(503).end()
    }
    pool.release(client)
    res.end()
  })
}
