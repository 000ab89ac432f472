'use strict'

/* Watchers on, and a router within a plain function: nothing of the app is known before its first request. */

process.env.NODE_ENV = 'test'

const express = require(process.env.EXPRESS)
const plimsoll = require('../..')
const listen = require('./support.js')

function noop() {}

const app = express()
app.use(plimsoll({ recorder: false, watch: true }))
const router = express.Router()
router.use((_req, _res, next) => next())
router.get('/x/:id', (_req, res) => setTimeout(() => res.end(), 5))
/** No frame of the app is on the stack when the interval is created. */
router.get('/interval', function leavesInterval(_req, res) {
  Promise.resolve(60_000)
    .then(setInterval.bind(null, noop))
    .then(interval => {
      interval.unref()
      res.end()
    })
})
app.use('/mounted', (req, res, next) => router(req, res, next))

listen(app)
