'use strict'

exports.mechanism = '`req.data = bigArray`: waste, but no leak'
exports.about = `
  A middleware loads 1.6 MB for each request and attaches it to the request, but the route needs one element. All of
  it is freed when the request ends, so memory does not grow with requests. Only the memory of requests in flight
  grows. A tool may report waste, but no leak. Both twins share a large cache, which is no waste of a request.`
exports.route = 'GET /users/:id'
exports.expected = { kinds: { 'large-property': 'function' } }
exports.load = { requests: 2000 }

const USERS = 200_000
const share = cache => (req, res, next) => {
  req.cache = cache
  res.locals.users = { all: cache }
  next()
}
const users = () => new Map(Array.from({ length: USERS }, (_, id) => [id, `user ${id}`]))

exports.leaky = app => {
  app.use(share(users()))
  // function
  app.use(async function loadEverything(req, _res, next) {
    await null
    req.data = Array.from({ length: USERS }, (_, id) => id)
    next()
  })
  app.get('/users/:id', (req, res) => res.json(req.data[req.params.id]))
}

exports.healthy = app => {
  app.use(share(users()))
  app.use(async function loadOne(req, res, next) {
    await null
    res.locals.data = req.cache.get(Number(req.url.slice(-1)))
    next()
  })
  app.get('/users/:id', (_req, res) => res.json(res.locals.data))
}
