'use strict'

// The article's: a large array on each request. Beside it in both, a cache that they share.

exports.mechanism = '`req.data = bigArray`'
exports.expected = { kind: 'bloat', route: 'GET /users/:id', place: 'data' }

const cache = new Map(Array.from({ length: 200_000 }, (_, id) => [id, `user ${id}`]))

function share(req, res, next) {
  req.cache = cache
  res.locals.users = { all: cache }
  next()
}

exports.leaky = app => {
  app.use(share)
  // data
  app.use(async function loadEverything(req, _res, next) {
    await null
    req.data = Array.from({ length: 200_000 }, (_, id) => id)
    next()
  })
  app.get('/users/:id', (req, res) => res.json(req.data[req.params.id]))
}

exports.healthy = app => {
  app.use(share)
  app.use(async function loadOne(req, res, next) {
    await null
    res.locals.data = req.cache.get(Number(req.url.slice(-1)))
    next()
  })
  app.get('/users/:id', (_req, res) => res.json(res.locals.data))
}
