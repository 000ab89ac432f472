'use strict'

/*
 * Refusing a request whose body must not be read: the app's own error handler answers if it can, and the client is
 * answered in any case.
 *
 * To whoever reads it, a cut body is what an aborted upload is: the stream is destroyed, with the refusal as its error. Only
 * the connection stays, since no client reads its answer from a socket that is destroyed under its upload. What does not
 * work, tried: `req.emit('error')` alone (multer and `for await` wait for a `'close'` or an `'end'` that never comes, who reads
 * late hangs), or without a listener (an uncaught exception); `'end'` (the body looks whole).
 */

const internalErrors = require('../core/internal-errors.js')
const { atEnd, isOver } = require('../request/lifecycle.js')
const linger = require('./lingering-close.js')
const { tapOf } = require('./tap.js')

/**
 * For an error page that is made asynchronously (rendered, looked up), or by a handler that has not begun to read yet. Not less: the page
 * is the app's. Not more: a handler that only logs the error would leave its client waiting.
 */
const PATIENCE_MS = 250
const STALE = [
  'content-encoding',
  'content-language',
  'content-range',
  'etag',
  'last-modified',
  'trailer',
  'transfer-encoding'
]
const HEAD = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader', 'writeHead', 'flushHeaders', 'addTrailers']
const INTERIM = ['writeContinue', 'writeProcessing', 'writeEarlyHints', 'writeInformation']

/** Refuses before the chain goes on: the error goes through `next`. */
function before(req, res, next, error, caps) {
  if (!isStream(req)) return next(error)
  sever(req, res, error, process.nextTick)
  stay(req, res, error, caps)
  next(error)
}

/** Refuses while somebody reads: the error goes to the stream's consumer. What nobody answers then, plimsoll does. */
function during(req, res, error, caps) {
  if (!isStream(req)) return
  const told = req.listenerCount('error') > 0 || req.listenerCount('finish') > 0
  // Nobody has begun to read: a handler that awaits something else will find the error when it does.
  const early = req.readableFlowing === null
  // Before the handler sees its stream close, at which it might answer as if the body had been whole.
  if (!told && !early) setImmediate(concludeLater, req, res, error, false)
  // In the next turn, when all that came together has been parsed: a body that has ended by then costs no connection.
  sever(req, res, error, setImmediate)
  stay(req, res, error, caps)
  if (!told && !early) return
  const timer = setTimeout(concludeLater, PATIENCE_MS, req, res, error, told)
  timer.unref()
  // Else it would keep a request that is over.
  atEnd(req, res, () => clearTimeout(timer))
}

/** False for a plain object instead of a request: it has no body that could be refused. */
function isStream(req) {
  return typeof req.on === 'function' && typeof req.destroy === 'function' && typeof req._read === 'function'
}

/** Ends the body for its readers, and lets what still comes flow into nothing. They are told `soon`. */
function sever(req, res, error, soon) {
  tapOf(req, res).refuse()
  // body-parser, multer and Express's finalhandler answer once the whole upload has come; `on-finished`, with which they
  // wait, is content with a 'finish', which no request emits by itself.
  req.on('newListener', event => {
    if (event === 'finish') process.nextTick(emitFinish, req)
  })
  soon(emitFinish, req)
  // In the place of IncomingMessage's own, which destroys the socket; like it, tells only those who listen.
  req._destroy = function (error, callback) {
    soon(() => callback(this.listenerCount('error') > 0 ? error : null))
  }
  // The server goes on reading, and would set it at the end of what nobody sees.
  Object.defineProperty(req, 'complete', { get: () => false, set() {}, configurable: true, enumerable: true })
  req.destroy(error)
  // A reader that was slow has stopped the socket.
  req._read(0)
}

/** Keeps the connection until the client has been answered, and has heard it. */
function stay(req, res, error, caps) {
  linger.keep(req, res, caps, () => conclude(req, res, error, false))
}

function emitFinish(req) {
  req.emit('finish')
}

function conclude(req, res, error, told) {
  if (isOver(req) || res.writableEnded) return
  if (!res.headersSent) answer(req, res, error)
  // A response that had begun cannot become a 413; one whose handler does not know that the body was cut would never end.
  else if (!told) res.destroy()
}

/** An app may have replaced the functions of its response. */
const concludeLater = internalErrors.guarded('when a refused body was answered', conclude)

function answer(req, res, error) {
  for (const name of STALE) res.removeHeader(name)
  const body = `${error.message}\n`
  res.statusCode = error.status
  if (req.httpVersionMajor === 1) res.statusMessage = ''
  res.setHeader('content-type', 'text/plain; charset=utf-8')
  res.setHeader('x-content-type-options', 'nosniff')
  res.setHeader('content-length', Buffer.byteLength(body))
  for (const [name, value] of Object.entries(error.headers ?? {})) res.setHeader(name, value)
  res.end(body)
  mute(res)
}

/** The handler may still answer, later; that would be ERR_HTTP_HEADERS_SENT, uncaught. */
function mute(res) {
  for (const name of HEAD) ignore(res, name, () => res.headersSent, res)
  for (const name of INTERIM) ignore(res, name, () => res.headersSent)
  ignore(res, 'write', () => res.writableEnded, true)
  ignore(res, 'end', () => res.writableEnded, res)
  // Access logs, and the tracker, read it when the response has gone out.
  const { statusCode } = res
  Object.defineProperty(res, 'statusCode', { get: () => statusCode, set() {}, configurable: true, enumerable: true })
}

function ignore(res, name, isLate, result) {
  const original = res[name]
  if (typeof original !== 'function') return
  res[name] = function (...args) {
    // Wrappers (sessions, compression) may send what plimsoll gave them a little later.
    if (!isLate()) return original.apply(this, args)
    const callback = args.at(-1)
    if (typeof callback === 'function') process.nextTick(callback)
    return result
  }
}

module.exports = { before, during }
