'use strict'

/*
 * Detects bodies that arrive too slowly. Each has a time budget: initially, and at most, the grace period. Time that
 * passes reduces it. Each byte adds the time that it may take at the required rate. So a slow but steady client
 * continues forever, a pause may last as long as the grace period, and a trickling client runs out of time. Time in
 * which the app does not read is not counted. One timer checks all bodies.
 */

const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')
const { outside } = require('../core/outside-requests.js')
const { tapOf } = require('./tap.js')

const CHECK_EVERY_MS = 250
const GRACE_MS = 10_000
/** Room in a budget up to which the required rate is the plain rate. */
const HOLDS_BYTES = 2 ** 20

const watched = new Set()
let timer = null
let checkedAt = 0

function rateOf(where, given) {
  if (given === undefined) return null
  const several = options.isObject(given)
  const { bytes: rate, graceMs = GRACE_MS } = several
    ? options.object(where, given, ['bytes', 'graceMs'])
    : { __proto__: null, bytes: given }
  const bytes = options.size(several ? `${where}.bytes` : where, rate)
  if (bytes === 0) options.fail(where, given, 'a rate of at least one byte per second')
  return { bytes, graceMs: options.integer(`${where}.graceMs`, graceMs, 1, 3_600_000) }
}

/**
 * Calls `slow(bytes)` once if the body of `req` arrives more slowly than `rate` requires, which is `bytes` a second.
 */
function watch(req, res, rate, slow) {
  const tap = tapOf(req, res)
  const body = { tap, rate, slow, hand: rate.graceMs, arrived: tap.arrived }
  watched.add(body)
  tap.onSettled(() => watched.delete(body))
  if (timer !== null) return
  checkedAt = performance.now()
  timer = outside(() => setInterval(check, CHECK_EVERY_MS).unref())
}

/** Guarded for each body: one that cannot be measured must not stop the others. */
const judge = internalErrors.guarded('when the rate of a body was measured', (body, passed) => {
  const progress = body.tap.progress()
  const { graceMs } = body.rate
  const bytes = wanted(body.rate, progress.reserved)
  body.hand = Math.min(graceMs, body.hand + ((progress.bytes - body.arrived) / bytes) * 1000)
  body.arrived = progress.bytes
  if (progress.isBackpressured) return
  body.hand -= passed
  if (body.hand >= 0) return
  watched.delete(body)
  body.slow(Math.ceil(bytes))
})

/**
 * Bytes a second that are required of a body with `reserved` bytes of a budget. From 1 MiB on it grows with the square
 * root.
 */
function wanted(rate, reserved) {
  return rate.bytes * Math.max(1, Math.sqrt(reserved / HOLDS_BYTES))
}

function check() {
  const now = performance.now()
  // A blocked event loop has not read what may have arrived meanwhile.
  const passed = Math.min(now - checkedAt, 2 * CHECK_EVERY_MS)
  checkedAt = now
  for (const body of watched) judge(body, passed)
  if (watched.size > 0) return
  clearInterval(timer)
  timer = null
}

module.exports = { rateOf, watch }
