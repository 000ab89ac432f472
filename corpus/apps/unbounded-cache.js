'use strict'

const { Lru } = require('../lib/lru.js')

exports.mechanism = 'a `Map` cache without bound'
exports.about = `
  Users are loaded once and then read from a \`Map\`. No entry is ever removed, so it becomes a copy of the
  table. At first it looks like any cache that fills up. The healthy twin has the same cache with a capacity.`
exports.route = 'GET /users/:id'
exports.expected = { leak: true, class: 'User', holder: 'cache' }

class User {
  // allocation
  constructor(id) {
    this.id = id
    this.name = `user ${id}`
    this.roles = ['reader', `group ${id}`]
    this.history = new Array(40).fill(id)
  }
}

const cache = new Map()

// allocation
async function load(id) {
  await new Promise(setImmediate)
  return new User(id)
}

exports.leaky = app => {
  // function
  async function getUser(id) {
    const known = cache.get(id)
    if (known) return known
    const user = await load(id)
    cache.set(id, user) // leak
    return user
  }
  // handler
  app.get('/users/:id', async (req, res) => res.json((await getUser(req.params.id)).name))
}

exports.healthy = app => {
  const cache = new Lru(200)
  async function getUser(id) {
    const known = cache.get(id)
    if (known) return known
    const user = await load(id)
    cache.set(id, user)
    return user
  }
  app.get('/users/:id', async (req, res) => res.json((await getUser(req.params.id)).name))
}
