'use strict'

/*
 * A shop with thirty routes, of which `POST /orders` and `GET /reports/:id` leak. All requests allocate in the same
 * pool.
 */

const express = require('express')
const { audit } = require('./services/audit.js')
const { find } = require('./services/catalogue.js')
const { pool } = require('./services/database.js')

const query =
  (text, answer = rows => rows) =>
  async (req, res) =>
    res.json(answer((await pool.query(text, [req.params.id])).rows))
const cached = kind => async (req, res) => res.json(await find(`${kind} ${req.params.id}`))
const first = rows => rows[0]
const none = (_req, res) => res.status(204).end()

function users() {
  const router = express.Router()
  router.get('/', query('select users'))
  router.get('/:id', cached('user'))
  router.post('/', query('insert user', first))
  router.put('/:id', query('update user', first))
  router.delete('/:id', none)
  router.get('/:id/avatar', (_req, res) => res.type('png').send(Buffer.alloc(2048)))
  router.get('/:id/friends', query('select friends'))
  return router
}

function orders() {
  const router = express.Router()
  router.get('/', query('select orders'))
  router.get('/:id', cached('order'))
  router.post('/', async (req, res) => {
    const { rows } = await pool.query('insert order', [req.body])
    const id = await audit.record('ann', 'order', req.body)
    res.json({ id, order: rows[0] })
  })
  router.put('/:id', query('update order', first))
  router.delete('/:id', none)
  router.get('/:id/items', query('select items'))
  return router
}

function reports() {
  const router = express.Router()
  router.get('/', query('select reports'))
  router.get('/:id', async (req, res) => {
    const { rows } = await pool.query('select report', [req.params.id])
    await audit.record('ann', 'report', { id: req.params.id })
    res.json(rows)
  })
  router.post(
    '/:id/run',
    query('run report', rows => rows.length)
  )
  return router
}

/** Adds the routes. */
module.exports = function shop(app) {
  app.use(express.json())
  app.get('/', (_req, res) => res.send('hello'))
  app.get('/health', (_req, res) => res.json({ ok: true }))
  app.use('/users', users())
  app.use('/orders', orders())
  app.use('/reports', reports())
  app.get('/search', query('search'))
  app.get('/products', query('select products'))
  app.get('/products/:id', cached('product'))
  app.post('/products', query('insert product', first))
  app.get('/products/:id/reviews', query('select reviews'))
  app.get('/cart', query('select cart'))
  app.post('/cart/items', query('insert item', first))
  app.delete('/cart/items/:id', none)
  app.get('/categories', query('select categories'))
  app.get('/categories/:id', cached('category'))
  app.get('/version', (_req, res) => res.json({ version: 1 }))
  app.get('/usage', (_req, res) => res.json(process.memoryUsage()))
  return app
}
