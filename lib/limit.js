'use strict'

const { native } = require('./native.js')
const { tooLarge } = require('./errors.js')
const options = require('./options.js')
const refuse = require('./refuse.js')
const runtime = require('./runtime.js')
const tap = require('./tap.js')
const { slotOf, routeOf } = require('./track.js')

/**
 * Middleware that refuses request bodies over `limit` bytes: declared ones before any byte is read, others at the first byte
 * too many, in front of every parser. Exactly the limit passes.
 */
function limit(value) {
  const given = options.isObject(value) ? options.object('limit()', value, ['limit']) : { limit: value }
  const max = options.size("limit()'s limit", given.limit)
  runtime.announceMissingBinary()

  function over(req, res, received) {
    const error = tooLarge({ limit: max, received })
    note(req, error)
    refuse.during(req, res, error)
  }

  return function plimsollLimit(req, res, next) {
    const length = tap.announcedLength(req)
    if (length === undefined || length === 0) {
      next()
    } else if (length > max) {
      refuseBefore(req, res, next, tooLarge({ limit: max, length }))
    } else if (tap.bound(req, res, max, over)) {
      refuseBefore(req, res, next, tooLarge({ limit: max, received: tap.received(req) }))
    } else {
      next()
    }
  }
}

function refuseBefore(req, res, next, error) {
  // One that an error handler has sent on, into another limit, was counted.
  if (!tap.wasCut(req)) note(req, error)
  refuse.before(req, res, next, error)
}

function note(req, error) {
  if (native === null) return
  const bytes = error.length === undefined ? `${error.received} bytes came` : `${error.length} bytes declared`
  native.limited(slotOf(req), routeOf(req), `${bytes}, the limit is ${error.limit}`)
}

module.exports = limit
