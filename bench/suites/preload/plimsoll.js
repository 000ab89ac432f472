'use strict'

const { openSync, writeSync } = require('node:fs')
const front = require('./front.js')
const plimsoll = require('../../..')

// Opened before the suite replaces functions of `fs`.
const file = openSync(process.env.PLIMSOLL_SUITES_LOG, 'a')
const write = (text, error) => writeSync(file, `${JSON.stringify(String(error?.message ?? text))}\n`)
// Plimsoll must write nothing to the output of the suite or its `'warning'` listeners.
const log = { info() {}, warn() {}, error: write }

const middleware = [
  plimsoll({ name: 'suites', log, recorder: false, layers: true, async: true, watch: true, largeResponses: true }),
  plimsoll.limit({ limit: '1gb', budget: '2gb', minRate: 1 }),
  plimsoll.shed(),
  plimsoll.scope()
]
plimsoll.watchListeners()

front(
  (req, res, next) => run(0, req, res, next),
  server => plimsoll.attach(server)
)

function run(at, req, res, next) {
  if (at === middleware.length) return next()
  middleware[at](req, res, error => (error ? next(error) : run(at + 1, req, res, next)))
}
