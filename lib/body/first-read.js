'use strict'

/*
 * Detects when a consumer first reads a request's body. Decisions can wait until then.
 */

const WAITING = Symbol('plimsoll.waiting')

/**
 * Calls `asked(req)` once, when a consumer begins to read the body. The function that was added last is called first.
 * Both methods are watched. A stream that has ended or has enough in its buffer is read without `_read`. A guard may
 * call `_read` alone.
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

/** Calls the waiting functions. For code that replaces `_read`. */
function begins(req) {
  const waiting = req[WAITING] ?? []
  if (waiting.length > 0) req[WAITING] = []
  for (const asked of waiting) asked(req)
}

module.exports = { onFirstRead, begins }
