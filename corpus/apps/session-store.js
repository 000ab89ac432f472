'use strict'

const { randomUUID } = require('node:crypto')

exports.mechanism = 'an in-memory session store'
exports.about = `
  Who comes without a cookie gets a session, kept in memory until it expires in two weeks, and nothing looks for what has expired. Health checks, crawlers and scripts never
  send the cookie back, so each of their requests is a new session. It is express-session's default store, with \`saveUninitialized\`. The healthy twin keeps no session
  before something is put into it.`
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
