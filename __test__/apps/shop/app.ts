/*
 * A shop with thirty routes, of which `POST /orders` and `GET /reports/:id` leak. All requests allocate in the same
 * pool. Node 24 and later run this source; `support/shop.js` makes the JavaScript from it.
 */

import express, { type Express, type Request, type Response } from 'express'
import { audit } from './services/audit.ts'
import { find } from './services/catalogue.ts'
import { pool, type Row } from './services/database.ts'

const query =
  (text: string, answer: (rows: Row[]) => unknown = rows => rows) =>
  async (req: Request, res: Response) =>
    res.json(answer((await pool.query(text, [req.params.id])).rows))
const cached = (kind: string) => async (req: Request, res: Response) => res.json(await find(`${kind} ${req.params.id}`))
const first = (rows: Row[]) => rows[0]
const none = (_req: Request, res: Response) => res.status(204).end()

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
export default function shop(app: Express): Express {
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
