'use strict'

/*
 * Random trees of routers, mounts, apps and handlers, and what their handlers receive with a middleware before them and
 * without.
 */

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { versions, listen, quiet, freshCopy } = require('./routes')

const TREES = 60
const PATHS = ['/', '/a', '/a/b', '/a/b/c', '/b/1/a', '/x/a/b', '/a/%zz', '/b/a?q=1', '/B/A/']
const PATTERNS = ['/', '/a', '/b', '/:x', '/a/b', '/b/:y', ['/a', '/:z/b']]

/** A generator of numbers below `n`, the same for the same seed. */
function dice(seed) {
  let state = seed * 2654435761 + 1
  return n => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return (state >>> 8) % n
  }
}

/** What handlers receive, in order. A function is shown by when it first occurred. */
function journal() {
  const lines = []
  const met = new Map()
  const idOf = value => {
    if (typeof value !== 'function') return String(value)
    if (!met.has(value)) met.set(value, met.size)
    return met.get(value)
  }
  const note = (name, req, next, rest) => {
    const { url, baseUrl, originalUrl, params, route } = req
    const handed = `${idOf(next)} ${next.name}/${next.length} req.next ${idOf(req.next)} more ${rest.length}`
    lines.push(`${name}: next ${handed}`, `${originalUrl} ${baseUrl}|${url} ${JSON.stringify(params)} ${route?.path}`)
  }
  return { lines, met, note }
}

/** A random app. Each of its functions notes what it receives, then does what was chosen when it was created. */
function build(express, seed, { lines, note }, first) {
  const roll = dice(seed)
  let made = 0
  const acts = [
    next => next(),
    next => next(),
    next => next(),
    next => setImmediate(next),
    next => Promise.resolve().then(() => next()),
    next => next('route'),
    next => next('router'),
    next => next(new Error('passed')),
    () => {
      throw new Error('thrown')
    },
    (_next, req) => req.next(),
    (_next, req, res) => {
      res.format({
        text: (_req, _res, next) => {
          lines.push(`format ${next === req.next}`)
          next()
        }
      })
    },
    (_next, req, res) => res.end(`answered ${req.url}`),
    (next, req) => {
      req.url = '/a/b'
      next()
    }
  ]
  function handler() {
    const name = `f${made++}`
    const act = acts[roll(acts.length)]
    return (req, res, next, ...rest) => {
      note(name, req, next, rest)
      act(next, req, res)
    }
  }
  function errorHandler() {
    const name = `e${made++}`
    const kind = roll(4)
    return (error, req, res, next) => {
      note(`${name} ${error.message}`, req, next, [])
      if (kind === 0) next()
      else if (kind === 1) res.status(500).end('handled')
      else if (kind === 2) setImmediate(next, error)
      else next(error)
    }
  }
  function fill(router, depth) {
    for (let left = 2 + roll(4); left > 0; left--) {
      const path = PATTERNS[roll(PATTERNS.length)]
      const kind = roll(depth > 0 ? 9 : 6)
      if (kind === 0) router.use(handler())
      else if (kind === 1) router.use(path, handler(), handler())
      else if (kind === 2) router.get(path, handler(), handler())
      else if (kind === 3) router.all(path, handler(), errorHandler())
      else if (kind === 4) router.use(path, errorHandler())
      else if (kind === 5) router.use(errorHandler())
      else if (kind === 6) router.use(path, fill(express.Router({ mergeParams: roll(2) === 0 }), depth - 1))
      else if (kind === 7) router.use(path, fill(quiet(express()), depth - 1))
      else {
        const inner = fill(express.Router(), depth - 1)
        router.use(path, (req, res, next) => inner(req, res, next))
      }
    }
    return router
  }
  return fill(quiet(express()).use(first), 2)
}

/** Tests that handlers receive the same after `middleware` as after a function that does nothing, `next` included. */
function compare(name, middleware, internalErrors) {
  for (const { version, express } of versions) {
    test(`Express ${version}: what handlers receive with ${name} is what they receive without`, async t => {
      const bare = freshCopy(version === 4 ? 'express4' : 'express')
      let noted = 0
      let same = 0
      for (let seed = 1; seed <= TREES; seed++) {
        const runs = []
        for (const [copy, first] of [
          [bare, (_req, _res, next) => next()],
          [express, middleware]
        ]) {
          const book = journal()
          const { fetch } = await listen(t, build(copy, seed, book, first))
          for (const path of PATHS) {
            const { status, body } = await fetch(path)
            book.lines.push(`${path} ${status} ${body.split('<br>')[0]}`)
          }
          runs.push(book.lines)
        }
        assert.deepEqual(runs[1], runs[0], `tree ${seed}`)
        noted += runs[0].length - PATHS.length
        same += runs[0].filter(line => line === 'format true').length
      }
      assert.ok(noted > 2 * TREES * PATHS.length, `${noted}`)
      assert.ok(same > 10, `${same}`)
      assert.equal(internalErrors(), 0)
    })
  }
}

module.exports = { compare }
