'use strict'

const pg = require('pg')
const plimsoll = require('../../..')

exports.mechanism = '`client.release()` missing on one path'
exports.expected = { kind: 'unclosed', route: 'GET /users/:id', place: 'connect' }
exports.needs = 'postgres'

const pool = plimsoll.watchPool(new pg.Pool({ connectionString: process.env.POSTGRES, max: 50 }))

exports.leaky = app => {
  app.get('/users/:id', async (req, res) => {
    const client = await pool.connect() // connect
    const { rows } = await client.query('SELECT $1::int AS id', [req.params.id])
    if (req.params.id % 10 === 0) return res.status(404).end()
    client.release()
    res.json(rows[0])
  })
}

exports.healthy = app => {
  app.get('/users/:id', async (req, res) => {
    const client = req.scope.use(await pool.connect())
    const { rows } = await client.query('SELECT $1::int AS id', [req.params.id])
    if (req.params.id % 10 === 0) return res.status(404).end()
    res.json(rows[0])
  })
}
