'use strict'

/*
 * Refusing a request whose body must not be read: the app's own error handler answers if it can, and the client is
 * answered in any case.
 *
 * What does not work, tried: `req.destroy(err)` (no client reads its answer), `req.emit('error')` without a listener
 * (an uncaught exception), `'end'` on a cut body (it looks whole). `'finish'` on the request releases those who wait for its
 * end through `on-finished`, as body-parser, multer and Express's finalhandler do; they would wait for the whole upload.
 */

const { isOver } = require('./lifetime.js')
const tap = require('./tap.js')

const REFUSED = Symbol('plimsoll.refused')
const MUTED = ['setHeader', 'appendHeader', 'removeHeader', 'writeHead', 'flushHeaders', 'write', 'end', 'addTrailers']

/** The status with which plimsoll itself answered, whatever a handler set afterwards; undefined if it did not. */
function answeredStatus(req) {
  return req[REFUSED]
}

/** Refuses before the chain goes on: the error goes through `next`. */
function before(req, res, next, error) {
  tap.cut(req, res)
  next(error)
  if (!res.headersSent) req.emit('finish')
}

/** Refuses while somebody reads: the error goes to the stream's consumer. What nobody has answered two turns later, plimsoll answers. */
function during(req, res, error) {
  // `for await` and `pipeline` destroy a stream that failed, and the connection with it, before anything is answered.
  req.destroy = stay
  const told = req.listenerCount('error') > 0
  if (told) req.emit('error', error)
  req.emit('finish')
  setImmediate(() => {
    // Express's finalhandler, reached through the consumer's error, began to wait only after the first one.
    if (!res.headersSent) req.emit('finish')
    setImmediate(conclude, req, res, error, told)
  })
}

function stay() {
  return this
}

function conclude(req, res, error, told) {
  if (isOver(req) || res.writableEnded) return
  if (!res.headersSent) answer(req, res, error)
  // A response that had begun cannot become a 413; one whose handler does not know that the body was cut would never end.
  else if (!told) res.destroy()
}

function answer(req, res, error) {
  for (const name of ['content-encoding', 'content-language', 'content-range', 'etag', 'last-modified']) res.removeHeader(name)
  const body = `${error.message}\n`
  res.statusCode = error.status
  if (req.httpVersionMajor === 1) res.statusMessage = ''
  res.setHeader('content-type', 'text/plain; charset=utf-8')
  res.setHeader('x-content-type-options', 'nosniff')
  res.setHeader('content-length', Buffer.byteLength(body))
  res.end(body)
  req[REFUSED] = error.status
  // The handler may still answer, later; that would be ERR_HTTP_HEADERS_SENT, uncaught.
  for (const name of MUTED) res[name] = ignored
}

function ignored() {
  return this
}

module.exports = { before, during, answeredStatus }
