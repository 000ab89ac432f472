'use strict'

/* Routes of a small shop. `GET /orders/:id` leaks on purpose; the others are healthy. */

const express = require('express')
const audit = require('./audit.js')

const LINES = 400
const PRODUCTS = 500

/** A bounded cache, which is full after some seconds. It is no leak. */
const products = new Map()

function product(id) {
  if (!products.has(id)) products.set(id, { id, name: `product ${id}`, tags: Array(20).fill(id) })
  if (products.size > PRODUCTS) products.delete(products.keys().next().value)
  return products.get(id)
}

const linesOf = order => Array.from({ length: LINES }, (_, line) => ({ order, line, price: line * 1.5 }))

function shop() {
  const router = express.Router()
  router.get('/products/:id', (req, res) => res.json(product(req.params.id)))
  router.get('/orders/:id', (req, res) => {
    const order = Number(req.params.id)
    const { at } = audit.record(order, linesOf(order))
    res.json({ order, at })
  })
  router.post('/orders', (_req, res) => res.status(201).json({ lines: linesOf(0).length }))
  return router
}

module.exports = { shop }
