'use strict'

/*
 * Connections that were taken from a pool during a request and not returned when it ended.
 *
 * The methods of this one pool are wrapped. Taking a connection ties it to the request that called, returning it unties
 * it. This also covers a connection that arrives after a time-out or after the end of the request: no caller returns
 * that one. Each is checked once, a grace period after the end. Nothing is polled.
 */

const { AsyncLocalStorage } = require('node:async_hooks')
const { passive } = require('../core/addon.js')
const origins = require('../core/call-site.js')
const { placeOfCode } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')
const { outside } = require('../core/outside-requests.js')
const { find, withdraw } = require('../recorder/findings.js')
const pools = require('./pool-adapters.js')
const owners = require('./request-owner.js')

const GRACE_MS = 1000
/** When all missing connections have been returned, the finding is withdrawn after this time. */
const QUIET_MS = 10_000
/** Routes and call sites of one pool whose missing connections are counted. */
const PLACES = 128
/** With a query builder, the frame of the app is several modules away. */
const FRAMES = 24

const watched = new WeakSet()
const callers = new AsyncLocalStorage()

/** Watches a pool of pg, mysql2, mysql, generic-pool or knex. Returns it. */
function watchPool(pool, given) {
  const where = 'watchPool()'
  const { grace = GRACE_MS, reclaim = false } = options.object(`${where}'s options`, given, ['grace', 'reclaim'])
  options.integer(`${where}'s grace`, grace, 0, 3_600_000)
  options.oneOf(`${where}'s reclaim`, reclaim, [true, false])
  const kind = pools.kindOf(pool)
  if (kind === null) options.fail(where, pool, pools.TAKES)
  if (passive) return pool
  const target = kind.target(pool)
  if (watched.has(target)) return pool
  watched.add(target)
  owners.start()
  kind.watch(target, new Watch(kind, target, { grace, reclaim }))
  for (const method of kind.callers ?? []) remember(pool, method)
  return pool
}

/**
 * Connections taken within this method are attributed to its caller. The context stores a call site and not a stack,
 * because it may live as long as the process.
 */
function remember(object, method) {
  if (typeof object[method] !== 'function') return
  pools.wrap(object, method, (call, args) => {
    const { app } = owners.current() === undefined ? { app: null } : origins.nearest(origins.take(null, origins.FRAMES))
    return app === null ? call(args) : callers.run(app, () => call(args))
  })
}

/** The connections of one pool that are taken. */
class Watch {
  constructor(kind, pool, { grace, reclaim }) {
    this.kind = kind
    this.pool = pool
    this.grace = grace
    this.reclaim = reclaim
    /** Connection -> its Checkout, until it is returned. */
    this.out = new WeakMap()
    /** Connections that are still out a grace period after their request. */
    this.missing = 0
    this.found = new Map()
  }

  /** A connection was requested. Returns the Checkout that waits for it, or undefined outside of requests. */
  asked() {
    try {
      const owner = owners.current()
      if (owner === undefined) return undefined
      const caller = callers.getStore() ?? null
      return new Checkout(this, owner, caller, caller === null ? origins.take(this.asked, FRAMES) : null)
    } catch (error) {
      internalErrors.report('when a connection was requested', error)
      return undefined
    }
  }

  returned(connection) {
    const checkout = this.out.get(connection)
    if (checkout === undefined) return
    this.out.delete(connection)
    checkout.end()
  }
}

/** Connections that are missing, by route and call site. */
class Place {
  constructor(watch, route, origin) {
    this.watch = watch
    this.route = route
    this.origin = origin
    this.times = 0
    this.missing = 0
    this.timer = null
  }

  identity() {
    return { kind: 'unclosed', route: this.route, origin: this.origin ?? undefined }
  }

  /** If none goes missing for a while, the finding is withdrawn. A connection that is reclaimed was not returned. */
  returned() {
    this.missing -= 1
    if (this.missing > 0 || this.watch.reclaim || this.timer !== null) return
    const check = internalErrors.guarded('when connections were counted', () => {
      this.timer = null
      if (this.missing > 0) return
      const advice = `connections of the ${this.watch.kind.name} pool that were missing after their request (${this.times} in all) have been returned late`
      withdraw({ ...this.identity(), severity: 'info', advice })
    })
    this.timer = outside(() => setTimeout(check, this.watch.grace + QUIET_MS).unref())
  }
}

/** One connection, from being requested until it is returned. */
class Checkout {
  constructor(watch, owner, origin, trace) {
    this.watch = watch
    this.owner = owner
    this.origin = origin
    this.trace = trace
    this.connection = null
    this.since = 0
    this.timer = null
    this.isMissing = false
    /** Set while it is missing. */
    this.place = null
    this.done = false
    owner.hold(this)
  }

  /** The connection has arrived. */
  had(connection) {
    try {
      if (this.done) return
      this.connection = connection
      this.since = performance.now()
      this.watch.out.set(connection, this)
      if (this.owner.state === null) this.wait()
    } catch (error) {
      internalErrors.report('when a connection was acquired', error)
    }
  }

  /** No connection will arrive. */
  failed() {
    this.end()
  }

  /** The request has ended. If the connection has not arrived yet, `had` starts the timer. */
  outlives() {
    this.locate()
    if (this.connection !== null) this.wait()
  }

  /** The grace period starts at the end of the request, or when the connection arrives after that. */
  wait() {
    if (this.timer !== null) return
    this.locate()
    this.timer = outside(() => setTimeout(() => this.check(), this.watch.grace).unref())
  }

  /** A stack trace refers to the functions of the request, so only the call site is stored after its end. */
  locate() {
    if (this.trace === null) return
    this.origin = placeOfCode(this.trace, this.owner.handler)
    this.trace = null
  }

  check() {
    try {
      const { watch, owner, connection } = this
      if (this.done || watch.out.get(connection) !== this) return
      this.isMissing = true
      watch.missing += 1
      this.report(owner.title)
      if (!watch.reclaim) return
      watch.out.delete(connection)
      this.end()
      watch.kind.reclaim(watch.pool, connection)
    } catch (error) {
      internalErrors.report('when a connection was checked', error)
    }
  }

  report(route) {
    const { watch, origin } = this
    const key = `${route}\0${origin}`
    let place = watch.found.get(key)
    if (place === undefined) {
      place = new Place(watch, route, origin)
      if (watch.found.size < PLACES) watch.found.set(key, place)
    }
    place.times += 1
    place.missing += 1
    this.place = place
    const rest = watch.reclaim ? 'it was reclaimed' : `${watch.missing} are missing now`
    find({
      ...place.identity(),
      severity: watch.reclaim ? 'warning' : 'critical',
      momentary: watch.reclaim,
      perThousand: owners.perThousand(place.times, route),
      advice:
        `a connection of the ${watch.kind.name} pool was not returned when its request ended. ` +
        `Release it in a finally, or req.scope.use() it. It was acquired ${Math.round(performance.now() - this.since)} ms ago; ${rest}`
    })
  }

  end() {
    if (this.isMissing) {
      this.watch.missing -= 1
      this.place?.returned()
    }
    this.isMissing = false
    this.place = null
    this.done = true
    this.connection = null
    this.trace = null
    clearTimeout(this.timer)
  }
}

module.exports = watchPool
