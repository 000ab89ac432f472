'use strict'

const channels = require('./channels.js')
const { native } = require('./native.js')
const { tooLarge } = require('./errors.js')
const linger = require('./linger.js')
const options = require('./options.js')
const refuse = require('./refuse.js')
const runtime = require('./runtime.js')
const tap = require('./tap.js')
const { slotOf, routeOf } = require('./track.js')

/**
 * Middleware that refuses request bodies over `limit` bytes: declared ones before any byte is read, others at the first byte
 * too many, in front of every parser. Exactly the limit passes. With `report` it refuses nothing and says what it would refuse.
 */
function limit(value) {
  const given = options.isObject(value)
    ? options.object('limit()', value, ['limit', 'report', 'linger'])
    : { limit: value }
  const max = options.size("limit()'s limit", given.limit)
  const report = options.oneOf("limit()'s report", given.report ?? false, [true, false])
  const caps = linger.capsOf("limit()'s linger", given.linger)
  runtime.announceMissingBinary()

  function over(req, res, received) {
    const error = tooLarge({ limit: max, received })
    note(req, error)
    refuse.during(req, res, error, caps)
  }

  if (report) {
    return function plimsollLimit(req, res, next) {
      const length = tap.announcedLength(req)
      if (length > max) note(req, tooLarge({ limit: max, length }), true)
      else if (length === -1)
        tap.watchOver(req, res, max, received => note(req, tooLarge({ limit: max, received }), true))
      next()
    }
  }

  return function plimsollLimit(req, res, next) {
    const length = tap.announcedLength(req)
    if (length === undefined || length === 0) {
      next()
    } else if (length > max) {
      refuseBefore(req, res, next, tooLarge({ limit: max, length }), caps)
    } else if (tap.bound(req, res, max, over)) {
      refuseBefore(req, res, next, tooLarge({ limit: max, received: tap.received(req) }), caps)
    } else {
      next()
    }
  }
}

function refuseBefore(req, res, next, error, caps) {
  // One that an error handler has sent on, into another limit, was counted.
  if (!tap.wasCut(req)) note(req, error)
  refuse.before(req, res, next, error, caps)
}

function note(req, error, reported = false) {
  const { limit, length, received } = error
  if (native !== null) {
    const bytes = length === undefined ? `${received} bytes came` : `${length} bytes declared`
    const detail = `${bytes}, the limit is ${limit}`
    if (reported) native.limitReported(routeOf(req), detail)
    else native.limited(slotOf(req), routeOf(req), detail)
  }
  if (channels.limit.hasSubscribers) {
    channels.limit.publish({ req, route: routeOf(req), limit, length, received, reported })
  }
}

module.exports = limit
