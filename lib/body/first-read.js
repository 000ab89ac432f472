'use strict'

/*
 * When a request's body is first asked for, by whatever reader: the moment until which a decision can wait.
 */

const WAITING = Symbol('plimsoll.waiting')

/**
 * Calls `asked(req)` once, when a consumer begins to read the body. Of several, the last to come is called first. Both methods are
 * watched: a stream that has ended, or that has enough in its buffer, is read without `_read`; a guard may call `_read` alone.
 */
function onFirstRead(req, asked) {
  if (req[WAITING] !== undefined) {
    req[WAITING].unshift(asked)
    return
  }
  req[WAITING] = [asked]
  for (const name of ['read', '_read']) {
    const original = req[name]
    req[name] = function (size) {
      begins(this)
      return original.call(this, size)
    }
  }
}

/** Tells those who wait that somebody reads; for one who stands in the way of `_read`. */
function begins(req) {
  const waiting = req[WAITING] ?? []
  if (waiting.length > 0) req[WAITING] = []
  for (const asked of waiting) asked(req)
}

module.exports = { onFirstRead, begins }
