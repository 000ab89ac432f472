'use strict'

/*
 * `req.scope`: resources that end with their request.
 *
 * The getter is on the prototype of all requests, so a request that does not use its scope costs only a flag. A
 * property of its own would cost each request 1.1 KB (request/lifecycle.js). A `req.scope` that other code sets is an
 * own property, and hides the getter.
 */

const http = require('node:http')
const { Http2ServerRequest } = require('node:http2')
const stream = require('node:stream')
const { isPromise } = require('node:util/types')
const { announceMissingBinary, passive } = require('../core/addon.js')
const origins = require('../core/call-site.js')
const describe = require('../core/describe.js')
const errors = require('../core/errors.js')
const { definitionOf } = require('../core/function-info.js')
const options = require('../core/options.js')
const routes = require('../express/route-tracker.js')
const { anyStateOf, lastingState } = require('../request/lifecycle.js')
const { Disposals } = require('./disposer-stack.js')

/** Checked in this order: releasing comes before ending. */
const METHODS = ['release', Symbol.asyncDispose, Symbol.dispose, 'close', 'end', 'destroy', 'disconnect']
const TAKES =
  'an object with release(), close(), end(), destroy(), disconnect(), [Symbol.dispose]() or [Symbol.asyncDispose]()'
const WAIT_MS = 1000
/** Error codes of a pipeline if one of its streams closes before it is done. */
const CLOSED = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'])

/** Stored instead of a scope until the request uses one. */
class Offer {
  constructor(waitMs) {
    this.waitMs = waitMs
  }
}

/** Middleware that gives each request a scope. What is tied to it ends with the request, however that ends. */
function scope(given) {
  const { waitMs = WAIT_MS } = options.object('scope()', given, ['waitMs'])
  options.integer("scope()'s waitMs", waitMs, 1, 3_600_000)
  announceMissingBinary()
  const offered = new Offer(waitMs)
  if (!passive) offer(http.IncomingMessage.prototype)

  return function plimsollScope(req, res, next) {
    const state = lastingState(req, res)
    if (state.scope === null) {
      state.scope = offered
      if (!state.over) routes.observe(state)
      // The getter on the prototype belongs to another version.
      if (passive) define(req)
      else if (!(req instanceof http.IncomingMessage))
        offer(req instanceof Http2ServerRequest ? Http2ServerRequest.prototype : req)
    }
    next()
  }
}

/** The scope of a request that has passed `scope()`. */
scope.of = function of(req) {
  const found = find(req)
  if (found !== undefined) return found
  throw new Error('plimsoll: this request has no scope. Add app.use(plimsoll.scope()) before this handler')
}

function find(req) {
  const state = anyStateOf(req)
  if (state === undefined || state.scope === null) return undefined
  if (state.scope instanceof Offer) state.scope = new Scope(state, state.scope.waitMs)
  return state.scope
}

/**
 * `holder`: the prototype of all requests, or a request that a test or an adapter created, whose prototype may be any.
 */
function offer(holder) {
  if (!('scope' in holder) && Object.isExtensible(holder)) define(holder)
}

function define(holder) {
  Object.defineProperty(holder, 'scope', {
    configurable: true,
    get() {
      return typeof this === 'object' && this !== null ? find(this) : undefined
    },
    set(value) {
      Object.defineProperty(this, 'scope', { value, configurable: true, enumerable: true, writable: true })
    }
  })
}

/** Created by `scope()` only. */
class Scope {
  #disposals
  #values = null
  #controller = null
  #ended = false
  #gone = false

  constructor(state, waitMs) {
    this.#disposals = new Disposals(waitMs)
    if (state.over) this.#end(state)
    else state.atEnd((_req, _res, state) => this.#end(state))
  }

  /** Calls `fn` at the end of the request, last in first out, once. */
  defer(fn) {
    if (typeof fn !== 'function') options.fail("scope.defer()'s function", fn, 'a function')
    this.#add(fn, fn, 'scope.defer()', null)
  }

  /** Closes `resource` at the end of the request. Returns it. */
  use(resource, dispose) {
    if (dispose !== undefined && typeof dispose !== 'function')
      options.fail("scope.use()'s dispose", dispose, 'a function of the resource')
    const close = dispose === undefined ? closerOf(resource) : () => dispose(resource)
    this.#add(close, dispose ?? close, 'scope.use()', origins.take(this.use))
    return resource
  }

  #add(work, named, what, trace) {
    if (!this.#ended) return this.#disposals.add(work, () => origins.read(trace) ?? (definitionOf(named) || undefined))
    // The request is over, so the resource is closed now: no other code would.
    this.#disposals.add(work, () => origins.read(trace) ?? undefined)
    this.#disposals.run()
    throw errors.scopeOver(what)
  }

  set(key, value) {
    this.#check('scope.set()')
    this.#values ??= new Map()
    this.#values.set(key, value)
    return this
  }

  get(key) {
    this.#check('scope.get()')
    return this.#values?.get(key)
  }

  has(key) {
    this.#check('scope.has()')
    return this.#values?.has(key) === true
  }

  /** Aborts when the client disconnects. */
  get signal() {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#gone) this.#controller.abort(errors.clientGone())
      else if (this.#ended) this.#controller.abort(errors.scopeOver('scope.signal'))
    }
    return this.#controller.signal
  }

  /** A signal that aborts after `ms`, or when the client disconnects. */
  timeout(ms) {
    options.integer("scope.timeout()'s ms", ms, 0, 2 ** 31 - 1)
    this.#check('scope.timeout()')
    const controller = new AbortController()
    const { signal } = this
    const follow = () => controller.abort(signal.reason)
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', follow)
      controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'))
    }, ms)
    if (signal.aborted) follow()
    else signal.addEventListener('abort', follow, { once: true })
    this.#disposals.add(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', follow)
    })
    return controller.signal
  }

  /**
   * Pipes streams, the last into `res`, and destroys all of them when the client disconnects. Resolves when all is
   * written, and also when the client has disconnected. Rejects with any other error. It need not be awaited.
   */
  pipe(...streams) {
    const takes = 'a readable stream, transforms, and the response'
    if (streams.length < 2) options.fail('scope.pipe()', streams, takes)
    for (const [at, each] of streams.entries()) {
      const fits = typeof each?.on === 'function' && (at === 0 || typeof each.write === 'function')
      if (!fits) options.fail('scope.pipe()', each, takes)
    }
    if (this.#ended) {
      destroyAll(streams)
      throw errors.scopeOver('scope.pipe()')
    }
    // A response may close without an event on the pipeline (detached, or pipelined after one that was cut). The other
    // streams would stay open.
    this.#disposals.add(() => destroyAll(streams))
    const piped = new Promise((resolve, reject) => {
      stream.pipeline(streams, error => {
        // Whether the client is gone does not matter: a failing pipeline destroys the response, which may close first.
        if (error && !CLOSED.has(describe.property(error, 'code'))) reject(error)
        else resolve()
      })
    })
    piped.catch(() => {})
    return piped
  }

  #check(what) {
    if (this.#ended) throw errors.scopeOver(what)
  }

  #end(state) {
    this.#ended = true
    this.#gone = !state.res.writableFinished
    const title = this.#disposals.list.length === 0 ? undefined : routes.titleOf(state)
    try {
      if (this.#gone) this.#controller?.abort(errors.clientGone())
    } finally {
      this.#values?.clear()
      this.#disposals.run(title)
    }
  }
}

/** Returns how to close a resource. Throws a TypeError with the accepted methods if it has none. */
function closerOf(resource) {
  if (resource === null || (typeof resource !== 'object' && typeof resource !== 'function'))
    options.fail('scope.use()', resource, `${TAKES}, or a function that disposes of it`)
  // `end` and `close` of a socket or file wait for pending writes, which may never finish.
  if (resource instanceof stream.Stream && typeof resource.destroy === 'function') return () => void resource.destroy()
  const method = METHODS.find(method => typeof resource[method] === 'function')
  if (method !== undefined) return () => resource[method]()
  const hint = isPromise(resource) ? ' (a promise: await it first)' : ''
  return options.fail('scope.use()', resource, `${TAKES}, or a function that disposes of it${hint}`)
}

function destroyAll(streams) {
  for (const each of streams) if (typeof each.destroy === 'function' && each.destroyed !== true) each.destroy()
}

module.exports = scope
