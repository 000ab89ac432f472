'use strict'

const { Pool } = require('../lib/pool.js')

exports.mechanism = '`client.release()` missing on one path'
exports.about = `
  The handler releases its connection, except when it responds early. Then the pool opens another one. At the limit of the
  pool, all requests wait forever. Until then each lost connection is a descriptor here, and a process on many databases.`
exports.reference = 'https://github.com/brianc/node-postgres/issues/1777'
exports.route = 'GET /users/:id'
exports.expected = { leak: true, kinds: { unclosed: 'leak' }, class: 'Connection', holder: 'Pool' }
exports.load = { requests: 2000 }

const pool = new Pool({ max: 3000 })
exports.pools = [pool]

exports.leaky = app => {
  // handler
  app.get('/users/:id', async (req, res) => {
    const client = await pool.acquire() // leak
    const id = await client.query(req.params.id)
    if (id % 10 === 0) return res.status(204).end()
    pool.release(client)
    res.json({ id })
  })
}

exports.healthy = app => {
  app.get('/users/:id', async (req, res) => {
    const client = await pool.acquire()
    try {
      const id = await client.query(req.params.id)
      if (id % 10 === 0) return res.status(204).end()
      res.json({ id })
    } finally {
      pool.release(client)
    }
  })
}
