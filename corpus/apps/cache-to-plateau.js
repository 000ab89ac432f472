'use strict'

exports.mechanism = 'a cache on its way to its plateau'
exports.about = `
  A catalogue of 600 products, each cached when it is first asked for. While it fills, its growth looks like a leak's, and it slows down as fewer products are
  left: half a run later there is none. Tools that look at the first minutes take it for one.`
exports.route = 'GET /products/:id'
exports.load = { path: id => `/products/${Math.imul(id, 0x9e3779b1) >>> 0}` }

const PRODUCTS = 600

exports.healthy = app => {
  const products = new Map()
  app.get('/products/:id', (req, res) => {
    // Any product, as likely as each other.
    const id = Number(req.params.id) % PRODUCTS
    if (!products.has(id)) products.set(id, { id, prices: Array.from({ length: 200 }, (_, i) => id * i + 0.5) })
    res.json(products.get(id).prices[0])
  })
}
