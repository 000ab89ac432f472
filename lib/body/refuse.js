'use strict'

/*
 * Refuses a request whose body must not be read. The app's own error handler responds if it can, and the client
 * receives a response in any case.
 *
 * To its consumer, a cut body looks like an aborted upload: the stream is destroyed, with the refusal as its error.
 * Only the connection stays open, since no client reads its response from a socket that is destroyed during its upload.
 *
 * Tried and rejected:
 *
 * - `req.emit('error')` alone: multer and `for await` wait for a `'close'` or an `'end'` that never comes, and a late
 *   reader hangs. Without a listener it is an uncaught exception.
 * - `'end'`: the body looks complete.
 */

const internalErrors = require('../core/internal-errors.js')
const { answer } = require('../core/plain-answer.js')
const { atEnd, isOver } = require('../request/lifecycle.js')
const linger = require('./lingering-close.js')
const { tapOf } = require('./tap.js')

/**
 * Time for an error page that is created asynchronously, or for a handler that has not begun to read. A shorter time
 * could replace the app's page. With a longer one, a handler that only logs the error would let its client wait.
 */
const PATIENCE_MS = 250
const HEAD = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader', 'writeHead', 'flushHeaders', 'addTrailers']
const INTERIM = ['writeContinue', 'writeProcessing', 'writeEarlyHints', 'writeInformation']

/** Refuses before the chain continues. The error goes to `next`. */
function before(req, res, next, error, caps) {
  if (!isStream(req)) return next(error)
  sever(req, res, error, process.nextTick)
  stay(req, res, error, caps)
  next(error)
}

/** Refuses while a consumer reads. The error goes to the stream. If nothing handles it, Plimsoll sends the response. */
function during(req, res, error, caps) {
  if (!isStream(req)) return
  const hasListener = req.listenerCount('error') > 0 || req.listenerCount('finish') > 0
  // No consumer has begun to read: a handler that awaits something else receives the error when it does.
  const early = req.readableFlowing === null
  // Scheduled before the handler receives `'close'`, at which it might respond as if the body were complete.
  if (!hasListener && !early) setImmediate(concludeLater, req, res, error, false)
  // On the next tick, when all that arrived together has been parsed: if the body has ended by then, the connection
  // stays open.
  sever(req, res, error, setImmediate)
  stay(req, res, error, caps)
  if (!hasListener && !early) return
  const timer = setTimeout(concludeLater, PATIENCE_MS, req, res, error, hasListener)
  timer.unref()
  // Otherwise the timer would retain the request after its end.
  atEnd(req, res, () => clearTimeout(timer))
}

/** False for a plain object instead of a request, which has no body to refuse. */
function isStream(req) {
  return typeof req.on === 'function' && typeof req.destroy === 'function' && typeof req._read === 'function'
}

/** Ends the body for its consumers, and discards what still arrives. Consumers receive the error `soon`. */
function sever(req, res, error, soon) {
  tapOf(req, res).refuse()
  // body-parser, multer and Express's finalhandler respond when the whole upload has arrived. They wait with
  // `on-finished`, which also accepts a `'finish'`. A request does not emit that by itself.
  req.on('newListener', event => {
    if (event === 'finish') process.nextTick(emitFinish, req)
  })
  soon(emitFinish, req)
  // Replaces IncomingMessage's own, which destroys the socket. Like it, this emits the error only if there is a
  // listener.
  req._destroy = function (error, callback) {
    soon(() => callback(this.listenerCount('error') > 0 ? error : null))
  }
  // The server continues to read, and would set it at the end of the discarded body.
  Object.defineProperty(req, 'complete', { get: () => false, set() {}, configurable: true, enumerable: true })
  req.destroy(error)
  // A slow reader has stopped the socket.
  req._read(0)
}

/** Keeps the connection until the client has received its response. */
function stay(req, res, error, caps) {
  linger.keep(req, res, caps, () => conclude(req, res, error, false))
}

function emitFinish(req) {
  req.emit('finish')
}

function conclude(req, res, error, hasListener) {
  if (isOver(req) || res.writableEnded) return
  if (!res.headersSent) {
    answer(req, res, error)
    mute(res)
  }
  // A response that has begun cannot become a 413. If its handler receives no error, it would never end.
  else if (!hasListener) res.destroy()
}

/** An app may have replaced the functions of its response. */
const concludeLater = internalErrors.guarded('when a refused body was answered', conclude)

/** The handler may still respond later, which would be an uncaught ERR_HTTP_HEADERS_SENT. */
function mute(res) {
  for (const name of HEAD) ignore(res, name, () => res.headersSent, res)
  for (const name of INTERIM) ignore(res, name, () => res.headersSent)
  ignore(res, 'write', () => res.writableEnded, true)
  ignore(res, 'end', () => res.writableEnded, res)
  // Access logs and the tracker read it after the response.
  const { statusCode } = res
  Object.defineProperty(res, 'statusCode', { get: () => statusCode, set() {}, configurable: true, enumerable: true })
}

function ignore(res, name, isLate, result) {
  const original = res[name]
  if (typeof original !== 'function') return
  res[name] = function (...args) {
    // Wrappers (sessions, compression) may send Plimsoll's response a little later.
    if (!isLate()) return original.apply(this, args)
    const callback = args.at(-1)
    if (typeof callback === 'function') process.nextTick(callback)
    return result
  }
}

module.exports = { before, during }
