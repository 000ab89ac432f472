'use strict'

const { userApp } = require('./bare')
const { state } = require('./plimsoll')

// The environment variable WATCH names one of these.
const VARIANTS = {
  bare: () => {},
  plimsoll: app => app.use(plimsoll()()),
  scope: app => app.use(plimsoll().scope()),
  defer(app) {
    app.use(plimsoll().scope())
    app.use((req, _res, next) => {
      req.scope.defer(nothing)
      next()
    })
  },
  pool: app => taking(app, pool => plimsoll().watchPool(pool)),
  'pool-unwatched': app => taking(app, pool => pool),
  listeners: () => plimsoll().watchListeners(),
  timers: app => app.use(plimsoll()({ watch: { timers: true } })),
  streams: app => app.use(plimsoll()({ watch: { streams: true } })),
  retained: app => app.use(plimsoll()({ watch: { retained: true } })),
  largeProperties: app => app.use(plimsoll()({ watch: { largeProperties: true } })),
  all(app) {
    app.use(plimsoll()({ watch: true }))
    plimsoll().watchListeners()
    app.use(plimsoll().scope())
  }
}

function plimsoll() {
  return require('../..')
}

function nothing() {}

/** A pool that always has a free connection, since only the watcher is measured. */
function taking(app, watched) {
  const pool = watched({
    acquire: async () => ({}),
    release: async () => {},
    destroy: async () => {},
    isBorrowedResource: () => true
  })
  app.use(async (_req, _res, next) => {
    await pool.release(await pool.acquire())
    next()
  })
}

const variant = process.env.WATCH ?? 'bare'
const counts = ['plimsoll', 'timers', 'streams', 'retained', 'largeProperties', 'all'].includes(variant)

module.exports = {
  packages: ['express', '../../package.json'],
  create: () => ({ app: userApp(VARIANTS[variant]), state: counts ? state : () => ({ count: null }) })
}

if (require.main === module) require('../harness/serve')(module.exports, __filename)
