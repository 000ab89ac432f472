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
    const waiting = this[WAITING]
    this[WAITING] = []
    for (const asked of waiting) asked(this)
    return _read.call(this, size)
  }
}

module.exports = { onFirstRead }
