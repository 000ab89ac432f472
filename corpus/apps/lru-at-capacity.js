'use strict'

const { Lru } = require('../lib/lru.js')

exports.mechanism = 'an LRU at its capacity'
exports.about = `
  Each request puts something new into the cache and drops something old: allocation without end, survivors in the old generation, and a heap that is full of
  cached objects, none of which stays.`
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
