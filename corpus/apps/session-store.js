'use strict'

const { randomUUID } = require('node:crypto')

exports.mechanism = 'an in-memory session store'
exports.about = `
  A request without a cookie gets a session, which stays in memory until it expires after two weeks. Expired sessions are not
  removed. Health checks, crawlers and scripts never return the cookie, so each of their requests creates a session. This is
  the default store of express-session with \`saveUninitialized\`. The healthy twin stores a session only when it has content.`
exports.reference = 'https://expressjs.com/en/resources/middleware/session.html'
exports.route = 'GET /shop/:id'
exports.expected = { leak: true, class: 'Session', holder: 'sessions' }

const WEEKS_MS = 14 * 24 * 3_600_000

class Session {
  // allocation
  constructor(id) {
    this.id = id
    this.expires = Date.now() + WEEKS_MS
    this.cart = []
    this.seen = {}
  }
}

const sessions = new Map()

const session = saveUninitialized =>
  // function
  function session(req, res, next) {
    const id = /sid=([\w-]+)/.exec(req.headers.cookie ?? '')?.[1] ?? randomUUID()
    req.session = sessions.get(id) ?? new Session(id)
    if (saveUninitialized || req.session.cart.length > 0) {
      sessions.set(id, req.session) // leak
      res.set('Set-Cookie', `sid=${id}; HttpOnly`)
    }
    next()
  }

const page = (req, res) => res.json({ product: req.params.id, cart: req.session.cart.length })

exports.leaky = app => {
  app.use(session(true))
  // handler
  app.get('/shop/:id', page)
}

exports.healthy = app => {
  app.use(session(false))
  app.get('/shop/:id', page)
}
