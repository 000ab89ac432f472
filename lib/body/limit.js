'use strict'

const { announceMissingBinary, native } = require('../core/addon.js')
const channels = require('../core/diagnostics.js')
const { tooLarge, tooSlow } = require('../core/errors.js')
const options = require('../core/options.js')
const { routeOf } = require('../express/route-tracker.js')
const { slotOf } = require('../request/lifecycle.js')
const budgets = require('./budget.js')
const inflate = require('./decompress.js')
const limits = require('./limit-rules.js')
const linger = require('./lingering-close.js')
const rates = require('./min-rate.js')
const refuse = require('./refuse.js')
const { announcedLength, isRefused, tapOf } = require('./tap.js')

const OPTIONS = ['limit', 'routes', 'fallback', 'defer', 'budget', 'minRate', 'linger', 'inflate', 'report']
/** The reason of a refusal, by error type, for the counters. */
const BY = { 'entity.too.large': 'size', 'budget.exceeded': 'budget', 'request.too.slow': 'rate' }

/**
 * Middleware that refuses a request body over its limit before any parser receives it. A declared size is refused
 * before a byte is read, any other at the first byte over the limit. It also refuses bodies for which the budget has no
 * room, and those that arrive too slowly. With `report` it refuses nothing, and reports what it would refuse.
 */
function limit(value) {
  const { limitOf, defer, budget, rate, caps, inflating, report } = settingsOf(value)
  const verdict = report ? reporting : refusing(caps)
  announceMissingBinary()

  return function plimsollLimit(req, res, next) {
    const length = announcedLength(req)
    const isNearest = length ? tapOf(req, res).claimPriority() : null
    // A body that waits for its first read is also inflated from then on only.
    const error = (length && !defer ? judge(req, res, length) : null) ?? beginInflating(req, res, length)
    if (error !== null) return refuse.before(req, res, next, error, caps)
    if (length && defer) tapOf(req, res).deferDecision(() => decide(req, res, length, isNearest()))
    next()
  }

  /** Like `judge`, for a body that is being read. `sized`: whether its size is for this limit to decide. */
  function decide(req, res, length, sized) {
    const tap = tapOf(req, res)
    if (tap.isRefused) return
    // A handler may continue to read after its response, within the limit. Node's own reads, which empty the
    // connection, bypass the tap.
    if (res.writableEnded) {
      verdict.bound(tap, limitOf(req), true)
      return
    }
    const error = assess(req, res, length, sized)
    if (error !== null) verdict.during(req, res, error)
  }

  /** The error that refuses this body before it is read, which is counted, or null. */
  function judge(req, res, length) {
    const error = assess(req, res, length, true)
    // An error handler may have passed it on to another limit. Then it is counted already.
    if (error !== null && !isRefused(req)) note(req, error)
    return error
  }

  function beginInflating(req, res, length) {
    if (inflating === null) return null
    const grew = report ? excess => verdict.during(req, res, tooLarge({ limit: limitOf(req), ...excess })) : null
    return inflate.begin(inflating, req, res, length, { caps, note, grew })
  }

  /** The error that refuses this body by what is known now, or null. From now on the body is limited. */
  function assess(req, res, length, sized) {
    const grows = length === -1 || tapOf(req, res).isInflated || inflate.applies(inflating, req, length)
    const error = (sized ? assessSize(req, res, length, grows) : null) ?? assessBudget(req, res, length, grows)
    if (error === null && rate !== null) watchRate(req, res, length)
    return error
  }

  function assessSize(req, res, length, grows) {
    const max = limitOf(req)
    if (length > max) return verdict.before(req, tooLarge({ limit: max, length }))
    return verdict.bound(tapOf(req, res), max, grows)
  }

  function assessBudget(req, res, length, grows) {
    if (budget === null) return null
    const inflated = grows && length !== -1
    const error = budgets.reserve(req, res, { length, inflated, budget, report }, verdict.during)
    return error === null ? null : verdict.before(req, error)
  }

  function watchRate(req, res, length) {
    rates.watch(req, res, rate, bytes => {
      verdict.during(req, res, tooSlow({ limit: bytes, received: tapOf(req, res).received, length }))
    })
  }
}

/*
 * What happens to a body that a limit does not admit:
 *
 * - `before(req, error)` runs before it is read. It returns the error to refuse it with, or null.
 * - `during(req, res, error)` runs while it is read.
 * - `bound(tap, max, grows)` detects the first byte over `max` from now on. `grows`: the body may exceed what its
 *   headers announced, or they announced nothing.
 */

function refusing(caps) {
  const during = (req, res, error) => {
    note(req, error)
    refuse.during(req, res, error, caps)
  }
  const onExcess = (req, res, received, max) => during(req, res, tooLarge({ limit: max, received }))
  return {
    before: (_req, error) => error,
    during,
    bound(tap, max) {
      return tap.bound(max, onExcess) ? tooLarge({ limit: max, received: tap.received }) : null
    }
  }
}

const reporting = {
  before(req, error) {
    note(req, error, true)
    return null
  },
  during: (req, _res, error) => note(req, error, true),
  bound(tap, max, grows) {
    if (grows) tap.watch(max, received => note(tap.req, tooLarge({ limit: max, received }), true))
    return null
  }
}

function settingsOf(value) {
  const where = "limit()'s"
  const plain = options.isObject(value) && !limits.isByType(value)
  const given = plain ? options.object('limit()', value, OPTIONS) : { __proto__: null, limit: value }
  const { routes, fallback, defer = false, budget, minRate, report = false } = given
  if (fallback !== undefined && !usesFunction(given)) {
    options.fail(`${where} fallback`, fallback, 'a size, together with a function as limit')
  }
  return {
    limitOf: limits.compile(`${where} limit`, {
      limit: given.limit,
      routes,
      fallback: fallback === undefined ? 0 : options.size(`${where} fallback`, fallback)
    }),
    defer: options.oneOf(`${where} defer`, defer, [true, false]),
    budget: budgets.settings(`${where} budget`, budget),
    rate: rates.rateOf(`${where} minRate`, minRate),
    caps: linger.capsOf(`${where} linger`, given.linger),
    inflating: inflate.settings(`${where} inflate`, given.inflate),
    report: options.oneOf(`${where} report`, report, [true, false])
  }
}

function usesFunction({ limit, routes }) {
  return [limit, ...Object.values(routes ?? {})].some(each => typeof each === 'function')
}

function note(req, error, reported = false) {
  const { type, limit, length, received } = error
  if (native !== null) {
    const detail = detailOf(error)
    if (reported) native.limitReported(routeOf(req), detail)
    else native.limited(BY[type], slotOf(req), routeOf(req), detail)
  }
  if (channels.limit.hasSubscribers) {
    channels.limit.publish({ req, route: routeOf(req), type, limit, length, received, reported })
  }
}

function detailOf({ type, limit, length, received, ratio, inFlight }) {
  if (type === 'request.too.slow') return `${received} bytes received, at less than ${limit} per second`
  const bytes = length === undefined ? `${received} bytes received` : `${length} bytes declared`
  if (type === 'budget.exceeded') return `${bytes}, ${inFlight} are in flight, the budget is ${limit}`
  return ratio === undefined
    ? `${bytes}, the limit is ${limit}`
    : `${bytes}, more than ${ratio} times the compressed size`
}

module.exports = limit
