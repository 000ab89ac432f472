'use strict'

exports.mechanism = 'a cache on its way to its plateau'
exports.about = `
  A catalogue of 600 products, each cached at its first request. While the cache fills, its growth looks like a leak. It slows
  down as fewer products are missing, and ends in the middle of the run. Tools that only see the first minutes report a leak.`
exports.route = 'GET /products/:id'
exports.load = { path: id => `/products/${Math.imul(id, 0x9e3779b1) >>> 0}` }

const PRODUCTS = 600

exports.healthy = app => {
  const products = new Map()
  app.get('/products/:id', (req, res) => {
    // Each product is equally likely.
    const id = Number(req.params.id) % PRODUCTS
    if (!products.has(id)) products.set(id, { id, prices: Array.from({ length: 200 }, (_, i) => id * i + 0.5) })
    res.json(products.get(id).prices[0])
  })
}
