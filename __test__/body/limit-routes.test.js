'use strict'

// The limit of a body is that of the route whose handler runs, for any spelling of the path and any settings of the
// app.

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const express5 = require('express')
const express4 = require('express4')
const plimsoll = require('../..')
const internalErrors = require('../../lib/core/internal-errors.js')
const { serve } = require('../support/http.js')
const { rounds, seed } = require('../support/rounds.js')
const { random } = require('../support/uploads.js')

const APPS = rounds(60)
const REQUESTS = 60
const GENERAL = 5000
const SEGMENTS = ['a', 'b', 'A', 'caf%C3%A9', 'a%2Fb', 'a.b']
const PARAMETERS = [':id', ':name']
const METHODS = ['POST', 'PUT', 'GET', 'HEAD']

const pick = (next, list) => list[Math.floor(next() * list.length)]

/** A pattern of one to three segments. */
function patternOf(next) {
  const segments = Array.from({ length: 1 + Math.floor(next() * 3) }, () =>
    next() < 0.35 ? pick(next, PARAMETERS) : pick(next, SEGMENTS)
  )
  // A name may occur once in a path.
  return `/${segments.map((segment, index) => (segment[0] === ':' ? segment + index : segment)).join('/')}`
}

/**
 * A target that is meant for one of `patterns`, or almost: other cases, slashes, encodings, backslashes, absolute
 * forms.
 */
function targetOf(next, patterns) {
  let path = pick(next, patterns).replace(/:\w+/g, () => pick(next, [...SEGMENTS, 'x\\\\y']))
  if (next() < 0.2) path = path.toUpperCase()
  if (next() < 0.2) path += '/'
  if (next() < 0.2) path = path.replace(/\/(?=[^/]*$)/, '//')
  if (next() < 0.1) path = path.replace(/\/(?=[^/]*$)/, '\\')
  if (next() < 0.1) path = path.replace('a', '%61')
  if (next() < 0.1) path += pick(next, ['?q=/b', '#x', '?', ';v=1'])
  if (next() < 0.1) path = `http://elsewhere${path}`
  return path
}

/** A pattern in other cases, or with a slash at its end. */
function respelled(next, pattern) {
  const cased = next() < 0.5 ? pattern.replace(/\/[ab]\b/gi, found => found.toUpperCase()) : pattern
  return cased === pattern || next() < 0.5 ? `${cased}/` : cased
}

/** An app of random routes, most with a limit of its own, and the handlers that ran: `{ listener, patterns, ran }`. */
function build(express, next) {
  const app = express()
  app.set('env', 'test')
  if (next() < 0.3) app.enable('case sensitive routing')
  if (next() < 0.3) app.enable('strict routing')
  const table = []
  const ran = []
  const routes = {}
  const mount = (router, prefix, pattern, method) => {
    const key = `${method} ${prefix}${pattern}`
    const passes = next() < 0.3
    const handler = (req, res, onward) => {
      ran.push({ key, bytes: Number(req.headers['content-length']), limit: routes[key] })
      if (passes) onward('route')
      else res.end()
    }
    router[method.toLowerCase()](pattern, handler)
    table.push({ key, pattern: prefix + pattern })
    // In any order: a later key may have a smaller limit than an earlier one. A route without a key has no limit of its own.
    if (next() < 0.9) routes[key] ??= 10 + Math.floor(next() * 20)
    // Another spelling is the key of another route, or of none.
    if (next() < 0.2) routes[`${method} ${respelled(next, prefix + pattern)}`] ??= 10 + Math.floor(next() * 20)
  }
  const guard = {}
  app.use((req, res, next) => guard.limit(req, res, next))
  for (let i = 0; i < 4; i++) {
    if (next() < 0.5) {
      mount(app, '', patternOf(next), pick(next, METHODS))
      continue
    }
    const prefix = patternOf(next)
    const router = express.Router({ caseSensitive: next() < 0.3, strict: next() < 0.3, mergeParams: true })
    for (let j = 0; j < 3; j++) mount(router, prefix, next() < 0.1 ? '/' : patternOf(next), pick(next, METHODS))
    app.use(prefix, router)
  }
  guard.limit = plimsoll.limit({ limit: GENERAL, routes })
  app.use((error, _req, res, _next) => void res.status(error.status ?? 500).end())
  return { app, patterns: table.map(({ pattern }) => pattern), ran }
}

/** Sends a body of `bytes`. Returns the status. */
function ask(port, method, path, bytes, given) {
  return new Promise((resolve, reject) => {
    const headers = { ...given, 'content-length': bytes }
    const req = http.request({ host: '127.0.0.1', port, method, path, headers, agent: false }, res => {
      res.resume()
      res.on('end', () => resolve(res.statusCode))
    })
    req.on('error', reject)
    req.end(Buffer.alloc(bytes))
  })
}

/**
 * Starts an app with `limit({ limit: 10, routes })`. Returns a function that returns the greatest of `sizes` that
 * reaches a handler.
 */
async function limited(t, express, { settings = [], routes, build }) {
  const app = express()
  app.set('env', 'test')
  for (const setting of settings) app.enable(setting)
  app.use(plimsoll.limit({ limit: 10, routes }))
  build(app)
  app.use((error, _req, res, _next) => void res.status(error.status ?? 500).end())
  const { port, close } = await serve(app)
  t.after(close)
  return async (path, method = 'POST') => {
    const passed = []
    for (const bytes of [10, 100, 1000, 5000]) {
      const status = await ask(port, method, path, bytes)
      if (status !== 413) passed.push(bytes)
    }
    return passed.at(-1)
  }
}

const answer = (_req, res) => res.end()
const passOn = (_req, _res, next) => next('route')

for (const [name, express] of Object.entries({ 'express 5': express5, 'express 4': express4 })) {
  test(`${name}: no handler runs with a body over the limit of its route`, async t => {
    const next = random(seed)
    const before = internalErrors.seen.count
    let handled = 0
    let refused = 0
    for (let i = 0; i < APPS; i++) {
      const { app, patterns, ran } = build(express, next)
      const { port, close } = await serve(app)
      t.after(close)
      for (let j = 0; j < REQUESTS; j++) {
        const method = pick(next, METHODS)
        const path = targetOf(next, patterns)
        const status = await ask(port, method, path, 10 + Math.floor(next() * 20))
        if (status === 413) refused += 1
        for (const { key, bytes, limit = GENERAL } of ran.splice(0)) {
          handled += 1
          assert.ok(bytes <= limit, `${method} ${path} ran ${key} with ${bytes} bytes, its limit is ${limit}`)
        }
      }
    }
    assert.ok(handled > 100 && refused > 100, `${handled} handled, ${refused} refused`)
    assert.equal(internalErrors.seen.count, before)
  })

  test(`${name}: the path of a mounted function does not decide the limit of what is below it`, async t => {
    const most = await limited(t, express, {
      routes: { 'POST /graphql': 5000, 'POST /graphql/upload': 100 },
      build: app => app.use('/graphql', answer)
    })
    for (let times = 0; times < 2; times++) {
      assert.equal(await most('/graphql/upload'), 100)
      assert.equal(await most('/graphql/other'), 10)
      assert.equal(await most('/graphql'), 5000)
    }
  })

  test(`${name}: a name that was given by hand does not decide a limit`, async t => {
    const app = express()
    app.use(plimsoll())
    app.use((req, _res, next) => {
      plimsoll.route(req, req.headers['x-name'] ?? '/none')
      next()
    })
    app.use(plimsoll.limit({ limit: 10, routes: { 'POST /large': 5000, 'POST /files/:id': 100 } }))
    app.post('/files/:id', answer).use(answer)
    app.use((error, _req, res, _next) => void res.status(error.status ?? 500).end())
    const { port, close } = await serve(app)
    t.after(close)
    const headers = { 'x-name': '/large' }
    assert.equal(await ask(port, 'POST', '/files/7', 101, headers), 413)
    assert.equal(await ask(port, 'POST', '/files/7', 100, headers), 200)
    assert.equal(await ask(port, 'POST', '/other', 11, headers), 413)
  })

  test(`${name}: keys that differ in case are keys of different routes in a case-sensitive app`, async t => {
    const most = await limited(t, express, {
      settings: ['case sensitive routing'],
      routes: { 'POST /Files': 5000, 'POST /files': 100, 'POST /Docs/:a': 5000, 'POST /docs/:b': 100 },
      build: app =>
        app.post('/Files', answer).post('/files', answer).post('/docs/:id', answer).post('/Docs/:id', answer)
    })
    assert.equal(await most('/files'), 100)
    assert.equal(await most('/Files'), 5000)
    assert.equal(await most('/docs/1'), 100)
    assert.equal(await most('/Docs/1'), 5000)
  })

  test(`${name}: keys that differ in a slash at the end are keys of different routes in a strict app`, async t => {
    const most = await limited(t, express, {
      settings: ['strict routing'],
      routes: { 'POST /files/': 5000, 'POST /files': 100, 'POST /docs': 5000, 'POST /docs/': 100 },
      build: app => app.post('/files', answer).post('/files/', answer).post('/docs/', answer).post('/docs', answer)
    })
    assert.equal(await most('/files'), 100)
    assert.equal(await most('/files/'), 5000)
    assert.equal(await most('/docs/'), 100)
    assert.equal(await most('/docs'), 5000)
  })

  test(`${name}: of several keys of one route the smallest limit applies`, async t => {
    const most = await limited(t, express, {
      routes: {
        'POST /files/:id': 5000,
        'POST /files/:name': 100,
        'POST /DOCS': 5000,
        'POST /Docs': 100,
        'POST /top/': 5000,
        'POST /top': 100
      },
      build: app =>
        app.post('/files/:file', answer).post('/docs', answer).use('/top', express.Router().post('/', answer))
    })
    for (const path of ['/files/7', '/docs', '/top', '/top/']) assert.equal(await most(path), 100, path)
  })

  test(`${name}: a key for one method goes before one for all if it comes first`, async t => {
    const most = await limited(t, express, {
      routes: { 'POST /files/:id': 5000, '/files/:id': 100 },
      build: app => app.all('/files/:id', answer)
    })
    assert.equal(await most('/files/7'), 5000)
    assert.equal(await most('/files/7', 'PUT'), 100)
  })

  test(`${name}: of all routes that may take the request the smallest limit applies`, async t => {
    const most = await limited(t, express, {
      routes: { 'POST /files/:id': 5000, 'POST /files/new': 100, 'POST /files/new/:part': 1000 },
      build: app => {
        app.post('/files/:id', passOn)
        app.use('/files', express.Router().post('/new', answer))
        app.post('/files/new/:part', answer).use(answer)
      }
    })
    assert.equal(await most('/files/new'), 100)
    assert.equal(await most('/files/7'), 5000)
    assert.equal(await most('/files/new/1'), 1000)
  })

  test(`${name}: a route without a key does not lower the limit of one that has a key`, async t => {
    const most = await limited(t, express, {
      routes: { 'POST /upload/:id': 5000, '/files/*': 100, 'POST /files/:id': 1000 },
      build: app => {
        app.all(/^/, (_req, _res, next) => next())
        app.post('/upload/:id', answer)
        app.post('/files/new', answer).post('/files/:id', answer)
        app.all(name === 'express 4' ? '*' : '/{*rest}', (_req, res) => res.status(404).end())
      }
    })
    for (const path of ['/upload/7', '/UPLOAD/7', '/upload/7/']) assert.equal(await most(path), 5000, path)
    // Its own route has no limit, so the first key that is meant for its path counts as well.
    assert.equal(await most('/files/new'), 100)
    assert.equal(await most('/other'), 10)
  })

  test(`${name}: a body within the limit of its route is served, in each spelling that the app routes there`, async t => {
    const app = express()
    app.use(plimsoll.limit({ limit: 10, routes: { 'POST /uploads/:id': 1000, 'POST /api/files/:name': 1000 } }))
    app.post('/uploads/:upload', (_req, res) => res.end())
    app.use(
      '/api',
      express.Router().post('/files/:file', (_req, res) => res.end())
    )
    const { port, close } = await serve(app)
    t.after(close)
    for (const path of ['/uploads/7', '/UPLOADS/7', '/uploads/7/', '/uploads/7?x', '/api/files/a', '/API/Files/a/'])
      assert.equal(await ask(port, 'POST', path, 1000), 200, path)
    for (const path of ['/uploads/7', '/UPLOADS/7', '/api/files/a'])
      assert.equal(await ask(port, 'POST', path, 1001), 413)
  })
}

test('without routes to ask, the first key that is spelled like the path holds, with its slash at the end', async t => {
  const guard = plimsoll.limit({ limit: 10, routes: { 'POST /files/': 1000, 'POST /files': 100 } })
  const { port, close } = await serve((req, res) => {
    guard(req, res, error => {
      res.statusCode = error?.status ?? 200
      res.end()
    })
  })
  t.after(close)
  for (const [path, limit] of [
    ['/files', 100],
    ['/files/', 1000]
  ]) {
    assert.equal(await ask(port, 'POST', path, limit), 200, path)
    assert.equal(await ask(port, 'POST', path, limit + 1), 413, path)
  }
})
