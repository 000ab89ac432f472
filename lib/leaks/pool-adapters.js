'use strict'

/*
 * The pools that `watchPool` supports, recognised by their methods. Each adapter knows where a connection is taken and
 * returned, and how one is reclaimed.
 */

const { within } = require('./request-owner.js')

const TAKES = 'a pool of pg, mysql2, mysql, generic-pool or tarn, or a knex instance'

/**
 * Wraps a method of one object with `wrapper(original, args)`. A method that others put on the prototype later is still
 * called.
 */
function wrap(object, method, wrapper) {
  const own = Object.hasOwn(object, method) ? object[method] : null
  Object.defineProperty(object, method, {
    configurable: true,
    writable: true,
    enumerable: own !== null,
    value(...args) {
      const original = own ?? Object.getPrototypeOf(object)[method]
      return wrapper(args => Reflect.apply(original, this, args), args)
    }
  })
}

/**
 * Wraps the last argument, a callback `(error, connection, …)`. It runs in the context of the request that passed it.
 */
function intercept(args, checkout) {
  const callback = args.at(-1)
  const { owner } = checkout
  return args.with(-1, function (...results) {
    const [error, connection] = results
    if (error) checkout.failed()
    else if (connection) checkout.had(connection)
    return within(owner, () => Reflect.apply(callback, this, results))
  })
}

function promised(promise, checkout) {
  // A second branch of the promise: it receives the connection first, and the caller handles a rejection.
  promise.then(
    connection => checkout.had(connection),
    () => checkout.failed()
  )
  return promise
}

/** Wraps a method that takes a connection, with a callback or a promise. */
function takes(pool, method, watch) {
  wrap(pool, method, (call, args) => {
    const checkout = watch.asked()
    if (checkout === undefined) return call(args)
    if (typeof args.at(-1) === 'function') return call(intercept(args, checkout))
    const result = call(args)
    return typeof result?.then === 'function' ? promised(result, checkout) : result
  })
}

function returns(pool, method, watch) {
  wrap(pool, method, (call, args) => {
    watch.returned(args[0])
    return call(args)
  })
}

const has = (object, ...methods) => methods.every(method => typeof object?.[method] === 'function')

const PG = {
  name: 'pg',
  is: pool => has(pool, 'connect', 'query', 'end', 'on') && typeof pool.totalCount === 'number',
  target: pool => pool,
  watch(pool, watch) {
    takes(pool, 'connect', watch)
    pool.on('release', (_error, client) => watch.returned(client))
    pool.on('remove', client => watch.returned(client))
  },
  reclaim(_pool, client) {
    // The connection may be in a transaction, so it is destroyed instead of reused.
    client.release(true)
    // A later release by the app must not throw for being the second one.
    client.release = () => {}
  }
}

const MYSQL = {
  name: 'mysql',
  is: pool => has(core(pool), 'getConnection', 'releaseConnection', 'on'),
  target: core,
  watch(pool, watch) {
    const destroyed = new WeakSet()
    wrap(pool, 'getConnection', (call, args) => {
      const checkout = watch.asked()
      if (checkout === undefined || typeof args.at(-1) !== 'function') return call(args)
      return call(
        intercept(args, {
          owner: checkout.owner,
          failed: () => checkout.failed(),
          had(connection) {
            if (!destroyed.has(connection)) {
              destroyed.add(connection)
              wrap(connection, 'destroy', (call, args) => {
                watch.returned(connection)
                return call(args)
              })
            }
            checkout.had(connection)
          }
        })
      )
    })
    returns(pool, 'releaseConnection', watch)
  },
  reclaim(_pool, connection) {
    connection.destroy()
  }
}

/** The promise pool of mysql2 wraps the callback pool. */
function core(pool) {
  return has(pool?.pool, 'getConnection') ? pool.pool : pool
}

const GENERIC = {
  name: 'generic-pool',
  is: pool => has(pool, 'acquire', 'release', 'destroy', 'isBorrowedResource'),
  target: pool => pool,
  watch(pool, watch) {
    takes(pool, 'acquire', watch)
    returns(pool, 'release', watch)
    returns(pool, 'destroy', watch)
  },
  reclaim(pool, resource) {
    // `destroy` may reject. The resource is then still lost.
    pool.destroy(resource).catch(() => {})
  }
}

const TARN = {
  name: 'knex',
  is: pool => has(tarn(pool), 'acquire', 'release', 'numUsed'),
  target: tarn,
  watch(pool, watch) {
    wrap(pool, 'acquire', (call, args) => {
      const checkout = watch.asked()
      const pending = call(args)
      if (checkout !== undefined) promised(pending.promise, checkout)
      return pending
    })
    returns(pool, 'release', watch)
  },
  /** A transaction takes its connection some promises later, when the stack no longer shows the caller. */
  callers: ['transaction'],
  reclaim(pool, connection) {
    // Knex's own mark: the pool destroys the connection instead of reusing it.
    connection.__knex__disposed = 'plimsoll: not released when its request ended'
    pool.release(connection)
  }
}

/** Knex instances are functions. */
function tarn(pool) {
  return pool?.client?.pool ?? pool
}

const KINDS = [PG, MYSQL, GENERIC, TARN]

function kindOf(pool) {
  if (pool === null || (typeof pool !== 'object' && typeof pool !== 'function')) return null
  return KINDS.find(kind => kind.is(pool)) ?? null
}

module.exports = { TAKES, kindOf, wrap }
