'use strict'

const channels = require('./channels.js')
const { native } = require('./native.js')
const { tooLarge } = require('./errors.js')
const inflate = require('./inflate.js')
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
    ? options.object('limit()', value, ['limit', 'report', 'inflate'])
    : { limit: value }
  const max = options.size("limit()'s limit", given.limit)
  const report = options.oneOf("limit()'s report", given.report ?? false, [true, false])
  const inflating = inflate.settings("limit()'s inflate", given.inflate)
  runtime.announceMissingBinary()

  function over(req, res, received) {
    const error = tooLarge({ limit: max, received })
    note(req, error)
    refuse.during(req, res, error)
  }

  if (report) {
    return function plimsollLimit(req, res, next) {
      const length = tap.announcedLength(req)
      if (length > max) note(req, tooLarge({ limit: max, length }), true)
      else if (length === -1 || inflate.applies(inflating, req, length))
        tap.watchOver(req, res, max, received => note(req, tooLarge({ limit: max, received }), true))
      inflateThen(req, res, next, length, grown => note(req, tooLarge({ limit: max, ...grown }), true))
    }
  }

  /** Goes on with an identity body; `grew` is told of one that grows too much and is not refused. */
  function inflateThen(req, res, next, length, grew = null) {
    const error = inflating === null ? null : inflate.begin(inflating, req, res, length, { note, grew })
    if (error === null) next()
    else refuse.before(req, res, next, error)
  }

  return function plimsollLimit(req, res, next) {
    const length = tap.announcedLength(req)
    if (length === undefined || length === 0) {
      inflateThen(req, res, next, length)
    } else if (length > max) {
      refuseBefore(req, res, next, tooLarge({ limit: max, length }))
    } else if (tap.bound(req, res, max, over)) {
      refuseBefore(req, res, next, tooLarge({ limit: max, received: tap.received(req) }))
    } else {
      inflateThen(req, res, next, length)
    }
  }
}

function refuseBefore(req, res, next, error) {
  // One that an error handler has sent on, into another limit, was counted.
  if (!tap.wasCut(req)) note(req, error)
  refuse.before(req, res, next, error)
}

function note(req, error, reported = false) {
  const { limit, length, received, ratio } = error
  if (native !== null) {
    const bytes = length === undefined ? `${received} bytes came` : `${length} bytes declared`
    const detail =
      ratio === undefined ? `${bytes}, the limit is ${limit}` : `${bytes}, over ${ratio} times what was sent`
    if (reported) native.limitReported(routeOf(req), detail)
    else native.limited(slotOf(req), routeOf(req), detail)
  }
  if (channels.limit.hasSubscribers) {
    channels.limit.publish({ req, route: routeOf(req), limit, length, received, reported })
  }
}

module.exports = limit
