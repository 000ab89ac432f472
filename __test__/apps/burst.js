'use strict'

/*
 * Requests that retain memory while they wait: the rows of a database, 2.4 MB each. `bare`, or with those parts of
 * Plimsoll that the arguments name.
 */

process.env.NODE_ENV = 'test'

const express = require(process.env.EXPRESS ?? 'express')
const plimsoll = require('../..')
const listen = require('./support.js')

const [mode, options = '{}'] = process.argv.slice(2)
const parts = mode.split('+')
/** Requests that wait until the test releases them. */
const waiting = new Set()

/** Small objects, like rows: 2.4 MB of them. */
function rows() {
  const found = []
  for (let id = 0; id < 20_000; id++) found.push({ id, name: `n${id}`, price: id * 1.5 })
  return found
}

const garbage = { made: 0 }

const app = express()
const given = JSON.parse(options)
if (!parts.includes('bare')) app.use(plimsoll({ name: 'burst', ...given.plimsoll }))
if (parts.includes('shed')) app.use(plimsoll.shed(given.shed))
if (parts.includes('shed')) app.get('/readyz', plimsoll.ready())
app.get('/hold', (_req, res) => {
  const held = rows()
  waiting.add(() => res.end(`${held.length}`))
  // Shows the client that it was admitted.
  res.flushHeaders()
})
app.get('/garbage', (_req, res) => {
  garbage.made += rows().length
  res.json(garbage.made)
})
app.get('/small', (_req, res) => res.json({ ok: 1 }))
app.get('/block/:ms', (req, res) => {
  const end = Date.now() + Number(req.params.ms)
  while (Date.now() < end);
  res.end()
})
/** Retained forever: the live heap grows with each. */
const kept = []
app.get('/keep/:megabytes', (req, res) => {
  for (let i = 0; i < Number(req.params.megabytes); i++) kept.push(new Array(131_072).fill(i + 0.5))
  res.json(kept.length)
})
app.get('/drop', (_req, res) => {
  kept.length = 0
  res.json(0)
})

/** What an app does near the limit: it clears its cache. */
if (parts.includes('drain')) {
  require('node:diagnostics_channel').subscribe('plimsoll:near-limit', () => {
    kept.length = 0
  })
}

const announced = []
for (const name of ['limit', 'shed', 'near-limit', 'blocked']) {
  require('node:diagnostics_channel').subscribe(`plimsoll:${name}`, message => {
    const { req, ...rest } = message
    announced.push({ channel: name, url: req?.url, ...rest })
  })
}
listen(app, {
  announced: () => announced,
  release: () => {
    const { size } = waiting
    for (const done of waiting) done()
    waiting.clear()
    return size
  }
})
