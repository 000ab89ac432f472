'use strict'

const { Lru } = require('../lib/lru.js')

exports.mechanism = 'an LRU at its capacity'
exports.about = `
  Each request adds an object to the cache and evicts an old one. The app allocates all
  the time, and the old generation is full of cached objects. None of them stays.`
exports.route = 'GET /articles/:id'

class Article {
  constructor(id) {
    this.id = id
    this.words = Array.from({ length: 100 }, (_, i) => `${id}.${i}`)
  }
}

exports.healthy = app => {
  const cache = new Lru(500)
  app.get('/articles/:id', (req, res) => {
    const { id } = req.params
    if (cache.get(id) === undefined) cache.set(id, new Article(id))
    res.json(cache.get(id).words.length)
  })
}
