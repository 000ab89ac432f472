'use strict'

/*
 * A server in which the native function BREAK fails, as it would after a panic: from the start on, or with LATER on
 * request. It handles no uncaught exceptions but its own.
 */

const warnings = []
process.on('warning', ({ code, message }) => warnings.push({ code, message }))

const express = require('express')
const plimsoll = require('../..')
const { native } = require('../../lib/core/addon.js')
const internalErrors = require('../../lib/core/internal-errors.js')
const listen = require('./support.js')

let calls = 0
function breakIt() {
  native[process.env.BREAK] = () => {
    calls += 1
    throw new Error('a panic')
  }
  return true
}

if (!process.env.LATER) breakIt()
if (process.env.BREAK === 'late') native.looksAgain = () => true

const app = express()
app.use(plimsoll({ recorder: false }))
if (process.env.BREAK === 'level') app.use(plimsoll.shed())
app.get('/', (_req, res) => res.send('served'))
app.post('/slow', plimsoll.limit({ limit: '1mb', minRate: { bytes: 1024, graceMs: 60_000 } }), (req, res) => {
  req.resume().on('end', () => res.send('whole'))
})
app.post('/large', plimsoll.limit('1kb'), (req, res, next) => {
  req
    .on('error', next)
    .resume()
    .on('end', () => res.send('whole'))
})

listen(app, {
  break: breakIt,
  calls: () => calls,
  seen: () => ({ internalErrors: plimsoll.stats().faults, warnings }),
  /** The app's own handler survives its exceptions. */
  throwOne: () =>
    new Promise(resolve => {
      process.once('uncaughtException', error => resolve(error.message))
      setImmediate(() => {
        throw new Error("the app's own")
      })
    }),
  removeHandler() {
    const handler = () => {}
    process.on('SIGTERM', handler)
    process.off('SIGTERM', handler)
    return true
  },
  collect() {
    for (let i = 0; i < 4; i++) global.gc()
    return true
  },
  /** What cannot be counted natively is counted in JavaScript. */
  report() {
    const before = internalErrors.seen.count
    internalErrors.report('in a test', new Error('on purpose'))
    return internalErrors.seen.count - before
  }
})
