'use strict'

const { AsyncResource } = require('node:async_hooks')
const os = require('node:os')
const path = require('node:path')
const createError = require('http-errors')
const { announceMissingBinary, native, reason } = require('../core/addon.js')
const hook = require('../core/hook.js')
const { warn } = require('../core/logger.js')
const options = require('../core/options.js')
const runtime = require('../recorder/recorder.js')
const { atEnd } = require('../request/lifecycle.js')
const limit = require('./limit.js')
const refuse = require('./refuse.js')
const { Spooled, bodies, listen, cause, end } = require('./spooled-body.js')
const { announcedLength } = require('./tap.js')

const KNOWN = ['memory', 'dir', 'type', 'limit']
/** Errors of a folder that the user must fix. Others may be temporary (no space, no descriptor). */
const WRONG_FOLDER = ['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS', 'ELOOP', 'ENAMETOOLONG']
/** Results of `native` for a chunk. */
const WAIT = 1
const FAILED = 2

const warned = new Set()

/**
 * Middleware that reads request bodies of any size: up to `memory` bytes into native memory, beyond that into a file
 * without a name in `dir`. `req.body` is then a `Spooled`, which is freed when the response ends.
 */
function spool(given) {
  const { memory, dir, wanted, guard } = settingsOf(given)
  announceMissingBinary()
  if (native === null) return unavailable(wanted)
  const place = placeOf(dir, memory)

  return function plimsollSpool(req, res, next) {
    if (!isUnread(req) || announcedLength(req) === undefined || !wanted(req)) return next()
    if (guard === null) return new Reading(req, res, next).begin(place)
    guard(req, res, error => (error === undefined ? new Reading(req, res, next).begin(place) : next(error)))
  }
}

function settingsOf(given) {
  const where = 'spool()'
  const { memory = '256kb', dir = os.tmpdir(), type, limit: most } = options.object(where, given, KNOWN)
  return {
    memory: options.size(`${where}'s memory`, memory),
    dir: path.resolve(options.string(`${where}'s dir`, dir, 4096)),
    wanted: type === undefined ? () => true : matcher(`${where}'s type`, type),
    guard: most === undefined ? null : limit(options.size(`${where}'s limit`, most))
  }
}

/**
 * A function of the request that returns whether its body has one of these types: `image/png`, `image/*`, `*` + `/*`.
 */
function matcher(where, given) {
  // If the function fails, the body is spooled. It stays within limits, and the app finds it in req.body.
  if (typeof given === 'function') return hook(where, given, Boolean, true)
  const types = Array.isArray(given) ? given : [given]
  const takes = "a type like 'image/png' or 'image/*', an array of these, or a function of the request"
  for (const type of types) {
    if (typeof type !== 'string' || !/^(\*\/\*|[\w.+-]+\/(\*|[\w.+-]+))$/.test(type)) options.fail(where, given, takes)
  }
  const lower = new Set(types.map(type => type.toLowerCase()))
  return req => {
    const type = (req.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase()
    return lower.has(type) || lower.has(`${type.split('/')[0]}/*`) || lower.has('*/*')
  }
}

function placeOf(dir, memory) {
  listen()
  const { place, inMemory, failure } = native.spoolPlace(dir, memory)
  if (failure) {
    const { code, detail } = cause(failure)
    if (WRONG_FOLDER.includes(code)) {
      options.fail("spool()'s dir", dir, `a folder that this process can write to (${detail})`)
    }
    warnOnce(`no file can be created in ${dir} (${detail}). Larger bodies fail until that is possible`)
  }
  if (inMemory) {
    warnOnce(`${dir} is on tmpfs, so spooled bodies use RAM. Set the dir of spool() to a folder on a disk.`)
  }
  return place
}

function warnOnce(message) {
  if (warned.has(message)) return
  warned.add(message)
  warn(runtime.state.settings?.log, `plimsoll: ${message}`, 'PLIMSOLL_SPOOL')
}

/**
 * Without a binary, bodies are not read, and an unread body must not look like an empty one. So the response is 501.
 */
function unavailable(wanted) {
  warnOnce(`spool() responds to every body with 501, because it needs the addon: ${reason}`)
  return function plimsollSpool(req, res, next) {
    if (!isUnread(req) || announcedLength(req) === undefined || !wanted(req)) return next()
    const error = createError(501, `plimsoll: spool() needs the addon: ${reason}`, { type: 'spool.unavailable' })
    refuse.before(req, res, next, error)
  }
}

/**
 * False for a body that an earlier parser has read, or that a consumer is reading. body-parser 1 sets `{}` for unread
 * bodies.
 */
function isUnread(req) {
  if (req._body === true || req.body instanceof Spooled || req.readableFlowing === true) return false
  return req.readable && !req.readableDidRead && !req.readableEnded
}

/** A body that is being read from the socket into memory or a file. */
class Reading extends AsyncResource {
  constructor(req, res, next) {
    super('plimsoll.spool')
    this.req = req
    this.res = res
    this.next = next
    this.handle = 0
    this.length = announcedLength(req)
    this.received = 0
    this.ended = false
    /** True once the chain has continued, or the request is over. */
    this.done = false
    this.body = null
    this.listeners = {
      data: chunk => this.write(chunk),
      end: () => this.finish(),
      error: error => this.fail(error),
      aborted: () => this.abort(),
      // The stream of a complete body closes too.
      close: () => this.ended || this.abort()
    }
  }

  begin(place) {
    const { req } = this
    if (req.readableEncoding !== null && req.readableEncoding !== undefined) {
      return this.next(createError(500, 'stream encoding should not be set', { type: 'stream.encoding.set' }))
    }
    this.handle = native.spoolOpen(place)
    bodies.set(this.handle, () => this.woken())
    atEnd(req, this.res, () => this.free())
    for (const [event, listener] of Object.entries(this.listeners)) req.on(event, listener)
    // A stream that was paused by an earlier middleware would stay paused.
    req.resume()
  }

  write(chunk) {
    if (this.done) return
    this.received += chunk.length
    const flow = native.spoolWrite(this.handle, chunk)
    letGo(this.req, chunk)
    if (flow === WAIT) this.req.pause()
    else if (flow === FAILED) this.refuse()
  }

  finish() {
    this.ended = true
    this.settle(native.spoolFinish(this.handle))
  }

  woken() {
    if (this.done) return
    const flow = native.spoolPoll(this.handle)
    if (flow === FAILED || this.ended) this.settle(flow)
    else if (flow !== WAIT) this.req.resume()
  }

  settle(flow) {
    if (this.done || flow === WAIT) return
    if (flow === FAILED) return this.refuse()
    this.leave()
    this.body = new Spooled(this.handle, native.spoolSize(this.handle))
    this.req.body = this.body
    this.goOn(undefined)
  }

  /**
   * A body that cannot be written is refused like one over a limit: the client receives a response, and what still
   * arrives is discarded.
   */
  refuse() {
    const failure = native.spoolFailure(this.handle) ?? { errno: 0, message: 'the body was freed', full: false }
    this.leave()
    native.spoolClose(this.handle)
    const error = writeError(failure)
    if (this.ended) this.goOn(error)
    else this.runInAsyncScope(refuse.before, undefined, this.req, this.res, this.next, error)
  }

  /** An earlier limit has cut the body, or the stream has failed. */
  fail(error) {
    if (this.done) return
    // Node's error for a disconnected client. There is a usual error for that.
    if (error?.code === 'ECONNRESET') return this.abort()
    this.leave()
    native.spoolClose(this.handle)
    this.goOn(error)
  }

  abort() {
    if (this.done) return
    this.leave()
    native.spoolClose(this.handle)
    const { length, received } = this
    const expected = length >= 0 ? length : null
    const detail = { code: 'ECONNABORTED', expected, length: expected, received, type: 'request.aborted' }
    this.goOn(createError(400, 'request aborted', detail))
  }

  /** Calls `next` in the async context of the middleware's call, for AsyncLocalStorage. */
  goOn(error) {
    this.runInAsyncScope(this.next, undefined, ...(error === undefined ? [] : [error]))
  }

  leave() {
    this.done = true
    bodies.delete(this.handle)
    for (const [event, listener] of Object.entries(this.listeners)) this.req.off(event, listener)
  }

  /** The request is over. */
  free() {
    if (this.body !== null) return end(this.body)
    native.spoolClose(this.handle)
    if (this.done) return
    if (this.res.writableEnded) {
      // A response was sent without waiting for the body. Continuing now would respond twice.
      this.leave()
      this.req.resume()
    } else {
      // The stream emits its own error first, unless the body was complete.
      process.nextTick(() => this.abort())
    }
  }
}

/**
 * After copying, a chunk is garbage of 64 KiB, and V8 lets tens of megabytes of it accumulate. So its memory is freed
 * at once if no other consumer can use it. A chunk that is a part of something larger (Node's pool) is left alone.
 */
function letGo(req, chunk) {
  const { buffer } = chunk
  if (chunk.byteLength === buffer.byteLength && req.listenerCount('data') === 1) native.letGo(buffer)
}

function writeError(failure) {
  const { code, detail } = cause(failure)
  const [status, type] = failure.full ? [507, 'spool.full'] : [500, 'spool.failed']
  const error = createError(status, `plimsoll: a request body could not be spooled: ${detail}`, { type })
  return code === undefined ? error : Object.assign(error, { code })
}

module.exports = spool
