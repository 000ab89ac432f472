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
const tap = require('./tap.js')

const OPTIONS = ['limit', 'routes', 'fallback', 'defer', 'budget', 'minRate', 'linger', 'inflate', 'report']
/** What a refusal is by, for those who count. */
const BY = { 'entity.too.large': 'size', 'budget.exceeded': 'budget', 'request.too.slow': 'rate' }

/**
 * Middleware that refuses request bodies: those over their limit, declared ones before any byte is read, others at the first byte
 * too many, in front of every parser; those for which all bodies in flight have no room; and those that come too slowly. With `report` it
 * refuses nothing and says what it would refuse.
 */
function limit(value) {
  const { limitOf, defer, budget, rate, caps, inflating, report } = settingsOf(value)
  announceMissingBinary()

  return function plimsollLimit(req, res, next) {
    const length = tap.announcedLength(req)
    const isNearest = length ? tap.overrule(req, res) : null
    // A body that waits for its first read is inflated from then on, too.
    const error = (length && !defer ? judge(req, res, length, true) : null) ?? beginInflating(req, res, length)
    if (error !== null) return refuse.before(req, res, next, error, caps)
    if (length && defer) tap.decideLate(req, res, () => decide(req, res, length, isNearest()))
    next()
  }

  /** As `judge`, for a body that is being read. */
  function decide(req, res, length, sized) {
    if (tap.wasCut(req)) return
    // Whoever reads on after the answer is bounded, too; Node itself, which empties the connection, is not seen by the tap.
    if (res.writableEnded) return tap.bound(req, res, limitOf(req), overSize)
    const error = assess(req, res, length, sized)
    if (error !== null) over(req, res, error)
  }

  /** Why this body is refused before it is read, which is noted; null if it is not. */
  function judge(req, res, length, sized) {
    const error = assess(req, res, length, sized)
    // One that an error handler has sent on, into another limit, was counted.
    if (error !== null && !tap.wasCut(req)) note(req, error)
    return error
  }

  function beginInflating(req, res, length) {
    if (inflating === null) return null
    const grew = report ? grown => note(req, tooLarge({ limit: limitOf(req), ...grown }), true) : null
    return inflate.begin(inflating, req, res, length, { caps, note, grew })
  }

  /** Why this body is refused, by what is known of it now; null if it is not. From here on it is bounded. */
  function assess(req, res, length, sized) {
    const max = limitOf(req)
    const grows = length === -1 || tap.isInflated(req) || inflate.applies(inflating, req, length)
    if (sized) {
      if (length > max) {
        const error = tooLarge({ limit: max, length })
        if (!report) return error
        note(req, error, true)
      } else if (report && grows) {
        tap.watchOver(req, res, max, received => note(req, tooLarge({ limit: max, received }), true))
      } else if (!report && tap.bound(req, res, max, overSize)) {
        return tooLarge({ limit: max, received: tap.received(req) })
      }
    }
    if (budget !== null) {
      const error = reserve(req, res, length, grows)
      if (error !== null && !report) return error
      if (error !== null) note(req, error, true)
    }
    if (rate !== null) watchRate(req, res, length)
    return null
  }

  function reserve(req, res, length, grows) {
    const refused = report ? (req, _res, error) => note(req, error, true) : over
    return budgets.reserve(req, res, { length, inflated: grows && length !== -1, budget, report }, refused)
  }

  function watchRate(req, res, length) {
    rates.watch(req, res, rate, bytes => {
      const error = tooSlow({ limit: bytes, received: tap.received(req), length })
      if (report) note(req, error, true)
      else over(req, res, error)
    })
  }

  function overSize(req, res, received, max) {
    over(req, res, tooLarge({ limit: max, received }))
  }

  function over(req, res, error) {
    note(req, error)
    refuse.during(req, res, error, caps)
  }
}

function settingsOf(value) {
  const where = "limit()'s"
  const plain = options.isObject(value) && !limits.isByType(value)
  const given = plain ? options.object('limit()', value, OPTIONS) : { __proto__: null, limit: value }
  const { routes, fallback, defer = false, budget, minRate, report = false } = given
  if (fallback !== undefined && !usesFunction(given)) {
    options.fail(`${where} fallback`, fallback, 'a size, beside a function')
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
  if (type === 'request.too.slow') return `${received} bytes came, at less than ${limit} a second`
  const bytes = length === undefined ? `${received} bytes came` : `${length} bytes declared`
  if (type === 'budget.exceeded') return `${bytes}, ${inFlight} are in flight, the budget is ${limit}`
  return ratio === undefined ? `${bytes}, the limit is ${limit}` : `${bytes}, over ${ratio} times what was sent`
}

module.exports = limit
