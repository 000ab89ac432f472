'use strict'

/*
 * Bodies that come too slowly. Each has time in hand, at first and at most the grace period: time passes, and each byte gives back what it
 * may take at the rate that is asked for. So a slow but steady client passes for ever, a pause may last as long as the grace period, and
 * who trickles runs out. Time in which the app does not read is not the client's. One timer looks at all of them.
 */

const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')
const { outside } = require('../core/outside-requests.js')
const { tapOf } = require('./tap.js')

const LOOK_EVERY_MS = 250
const GRACE_MS = 10_000
/** Up to what a body may hold of a budget without having to be faster than the rate. */
const HOLDS_BYTES = 2 ** 20

const watched = new Set()
let timer = null
let lookedAt = 0

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

/** Calls `slow(bytes)` once if the body of `req` comes more slowly than `rate` asks for, which is `bytes` a second. */
function watch(req, res, rate, slow) {
  const tap = tapOf(req, res)
  const body = { tap, rate, slow, hand: rate.graceMs, arrived: tap.arrived }
  watched.add(body)
  tap.onSettled(() => watched.delete(body))
  if (timer !== null) return
  lookedAt = performance.now()
  timer = outside(() => setInterval(look, LOOK_EVERY_MS).unref())
}

/** One body at a time: one that cannot be measured holds up no other. */
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

/** Bytes a second that a body must bring which holds `reserved` bytes of a budget: from 1 MiB on more, by the square root. */
function wanted(rate, reserved) {
  return rate.bytes * Math.max(1, Math.sqrt(reserved / HOLDS_BYTES))
}

function look() {
  const now = performance.now()
  // A loop that was blocked has not read what may have come meanwhile.
  const passed = Math.min(now - lookedAt, 2 * LOOK_EVERY_MS)
  lookedAt = now
  for (const body of watched) judge(body, passed)
  if (watched.size > 0) return
  clearInterval(timer)
  timer = null
}

module.exports = { rateOf, watch }
