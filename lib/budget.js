'use strict'

/*
 * One budget for the bodies in flight of the whole process. A declared length is reserved whole before the body is read, others grow as
 * they come, and whoever does not fit is refused at once: nobody waits with half a body for room that the others hold.
 */

const { overBudget, tooLarge } = require('./errors.js')
const tap = require('./tap.js')

const RETRY_AFTER_S = [1, 5]

/**
 * Reserves for a body of `length` (-1: unknown) bytes; the refusal if there is no room. `over(req, res, error)` is called if one that
 * `grows` runs out of it later.
 */
function reserve(req, res, { length, grows, budget }, over) {
  const grown = () => over(req, res, refusal(budget, { received: tap.received(req) }))
  if (tap.reserve(req, res, { length, grows, budget, grown })) return null
  return refusal(budget, length === -1 ? { received: tap.received(req) } : { length })
}

function refusal(budget, detail) {
  // What is larger than all of the budget would be asked to come again for ever.
  if (Math.max(detail.length ?? 0, detail.received ?? 0) > budget) return tooLarge({ limit: budget, ...detail })
  return overBudget({ limit: budget, inFlight: tap.inFlight(), retryAfterS: retryAfterS(), ...detail })
}

/** When a refused client may come again: spread, or all would come at once. */
function retryAfterS() {
  const [from, to] = RETRY_AFTER_S
  return from + Math.floor(Math.random() * (to - from + 1))
}

module.exports = { reserve, retryAfterS }
