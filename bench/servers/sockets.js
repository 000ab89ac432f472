'use strict'

// The app of the open loop: a plain route, one that waits for a timer, and one that parses a JSON body. The environment
// variable PARTS is JSON with the parts of Plimsoll to use: `tracked` (options of `plimsoll()`), `limit`, `shed`.

const { PerformanceObserver, constants } = require('node:perf_hooks')
const { setTimeout: sleep } = require('node:timers/promises')
const v8 = require('node:v8')
const express = require('express')

const TIMER_MS = 5
const parts = JSON.parse(process.env.PARTS ?? '{}')
const collections = { scavenges: 0, majors: 0 }

// In all variants, so that it does not show in the differences.
function countCollections() {
  const { NODE_PERFORMANCE_GC_MAJOR: MAJOR, NODE_PERFORMANCE_GC_MINOR: MINOR } = constants
  const observer = new PerformanceObserver(list => {
    for (const { detail } of list.getEntries()) {
      if (detail.kind === MINOR) collections.scavenges++
      else if (detail.kind === MAJOR) collections.majors++
    }
  })
  observer.observe({ entryTypes: ['gc'] })
}

function state() {
  const newSpace = v8.getHeapSpaceStatistics().find(space => space.space_name === 'new_space').space_size
  if (!parts.tracked) return { count: null, newSpace, ...collections }
  return { ...require('./plimsoll').state(), newSpace, ...collections }
}

function create() {
  countCollections()
  const app = express()
  const plimsoll = parts.tracked && require('../..')
  if (parts.tracked) app.use(plimsoll(parts.tracked))
  if (parts.limit) app.use(plimsoll.limit('10mb'))
  if (parts.shed) app.use(plimsoll.shed())
  app.get('/users/:id', (_req, res) => {
    res.json({ ok: 1 })
  })
  app.get('/later/:id', async (_req, res) => {
    await sleep(TIMER_MS)
    res.json({ ok: 1 })
  })
  app.post('/orders', express.json(), (req, res) => {
    res.json({ ok: 1, lines: req.body.lines.length })
  })
  return { app, state }
}

module.exports = { packages: ['express', '../../package.json'], create }

if (require.main === module) require('../harness/serve')(module.exports, __filename)
