'use strict'

/*
 * When a request's body is first asked for, by whatever reader: the moment until which a decision can wait.
 */

const WAITING = Symbol('plimsoll.waiting')

/** Calls `asked(req)` once, when somebody begins to read the body. Of several, the last to come is called first. */
function onFirstRead(req, asked) {
  if (req[WAITING] !== undefined) {
    req[WAITING].unshift(asked)
    return
  }
  req[WAITING] = [asked]
  const { _read } = req
  req._read = function (size) {
    begins(this)
    return _read.call(this, size)
  }
}

/** Tells those who wait that somebody reads; for one who stands in the way of `_read`. */
function begins(req) {
  const waiting = req[WAITING] ?? []
  if (waiting.length > 0) req[WAITING] = []
  for (const asked of waiting) asked(req)
}

module.exports = { onFirstRead, begins }
