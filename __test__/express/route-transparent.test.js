'use strict'

const assert = require('node:assert/strict')
const { test, describe } = require('node:test')
const { seen: internalErrors } = require('../../lib/core/internal-errors')
const { begin } = require('../../lib/request/lifecycle')
const { observe, current } = require('../../lib/express/route-tracker')
const { versions, ok, later, tracker, listen, until, quiet, freshCopy } = require('../support/routes')

for (const { version, express } of versions) {
  describe(`Express ${version}: what the app sees`, () => {
    /** A walk through all features of a layer, as the app sees it. */
    function story(express, observing) {
      const seen = []
      const app = quiet(express())
      const note = name =>
        function handler(req, _res, next, ...more) {
          seen.push(`${name} next:${next.name}/${next.length} more:${more.length} url:${req.baseUrl}|${req.url}`)
          seen.push(`params:${JSON.stringify(req.params)} route:${req.route?.path} this:${typeof this}`)
          next()
        }
      const raise = kind => (req, _res, next) => {
        if (kind === 'throw') throw new Error(req.path)
        if (kind === 'falsy') throw undefined
        if (kind === 'string') next('a string')
        else if (kind === 'zero') next(0)
        else if (kind === 'twice') return next() || next()
        else next(new Error(req.path))
      }
      if (observing) {
        app.use((req, res, next) => {
          observe(begin(req, res), () => {})
          next()
        })
      }
      app.param('id', (_req, _res, next, id, name) => {
        seen.push(`param ${name}=${id}`)
        next(id === 'skip' ? 'route' : id === 'bad' ? new Error('bad id') : undefined)
      })
      app.use(note('root'))
      app.use('/use/:id', note('use'), (_req, _res, _next, _more) => seen.push('four arguments, never called'))
      app.get('/users/:id', note('first'), note('second'), (_req, _res, next) => next('route'), note('not reached'))
      for (const kind of ['throw', 'falsy', 'string', 'zero', 'twice', 'error']) app.get(`/${kind}/:x`, raise(kind))
      if (version === 5) {
        app.get('/reject/:x', async () => {
          throw new Error('rejected')
        })
        app.get('/reject-falsy/:x', () => Promise.reject())
        app.use('/reject-use', async () => {
          throw new Error('rejected in use')
        })
      }
      const router = express.Router({ mergeParams: true })
      router.use(note('in router')).get('/leave', (_req, _res, next) => next('router'), note('not reached'))
      router.get('/stay', note('stay')).use((error, _req, _res, next) => {
        seen.push(`router's error handler ${error.message}`)
        next(error)
      })
      app.use('/router/:r', router, note('after router'))
      app.use((error, req, _res, next, ...more) => {
        seen.push(`error ${error?.message ?? error} next:${next.name}/${next.length} url:${req.url} ${more.length}`)
        if (req.query.recover) next()
        else next(error)
      })
      app.use(note('last'))
      const paths = ['/', '/users/1', '/users/skip', '/users/bad', '/use/1/more', '/use/bad/x', '/router/1/leave']
      paths.push('/router/2/stay', '/router/3/none', '/%E0%A4%A', '/users/%E0%A4%A')
      for (const kind of [
        'throw',
        'falsy',
        'string',
        'zero',
        'twice',
        'error',
        'reject',
        'reject-falsy',
        'reject-use'
      ]) {
        paths.push(`/${kind}/1`, `/${kind}/1?recover=1`)
      }
      return { app, seen, paths }
    }

    test('the same calls, errors and answers, observed or not', async t => {
      const runs = []
      const untouched = freshCopy(version === 4 ? 'express4' : 'express')
      for (const [copy, observing] of [
        [untouched, false],
        [express, false],
        [express, true]
      ]) {
        const { app, seen, paths } = story(copy, observing)
        const { fetch } = await listen(t, app)
        for (const path of paths) {
          const { status, body, headers } = await fetch(path)
          seen.push(`${path} ${status} ${headers['content-type']} ${body.replace(/\n|&nbsp;|<br>.*/g, '')}`)
        }
        const { status, headers } = await fetch('/users/1', 'OPTIONS')
        seen.push(`OPTIONS ${status} ${headers.allow}`)
        runs.push(seen)
      }
      assert.ok(runs[0].length > 100)
      assert.deepEqual(runs[1], runs[0])
      assert.deepEqual(runs[2], runs[0])
    })

    test('the wrapped methods keep their names and lengths, and layers their handlers', async t => {
      const { track, ended } = tracker()
      const app = express()
      app.use(track).get('/users/:id', ok)
      const stack = (app._router || app.router).stack
      const handlers = stack.map(layer => layer.handle)
      const { fetch } = await listen(t, app)
      await fetch('/users/1')
      await until(() => ended.length === 1)
      const prototype = Object.getPrototypeOf(stack[0])
      const methods = version === 4 ? ['handle_request', 'handle_error'] : ['handleRequest', 'handleError']
      const shapes = methods.map(method => [prototype[method].name, prototype[method].length])
      assert.deepEqual(shapes, [
        [version === 4 ? 'handle' : 'handleRequest', 3],
        [methods[1], 4]
      ])
      assert.deepEqual(
        stack.map(layer => layer.handle),
        handlers
      )
    })

    test('others may wrap the same methods, before and after', async t => {
      const { track, ended } = tracker()
      const fresh = freshCopy(version === 4 ? 'express4' : 'express')
      const app = fresh()
      app.use(track).use('/api/:v', fresh.Router().get('/users/:id', ok))
      const stack = (app._router || app.router).stack
      const prototype = Object.getPrototypeOf(stack[0])
      assert.notEqual(
        prototype,
        Object.getPrototypeOf((express().use(ok)._router || express().use(ok).router).stack[0])
      )
      const method = version === 4 ? 'handle_request' : 'handleRequest'
      const calls = []
      const wrap = name => {
        const inner = prototype[method]
        prototype[method] = function (...args) {
          calls.push(name)
          return inner.apply(this, args)
        }
      }
      wrap('before')
      const { fetch } = await listen(t, app)
      await fetch('/api/1/users/1')
      wrap('after')
      calls.length = 0
      await fetch('/api/1/users/1')
      await until(() => ended.length === 2)
      assert.deepEqual(
        ended.map(({ label }) => label),
        ['/api/:v/users/:id', '/api/:v/users/:id']
      )
      const entered = stack.length + 2 // and the route, and the handler in it
      assert.equal(calls.filter(name => name === 'before').length, entered)
      assert.equal(calls.filter(name => name === 'after').length, entered)
    })

    test('an internal error in the labels is counted, and no one else sees it', async t => {
      const ended = []
      const app = express()
      app.use((req, res, next) => {
        observe(begin(req, res), () => {
          throw new Error('in the tracker')
        })
        res.once('close', () => ended.push(current(req).label))
        next()
      })
      const route = app.route('/broken').get(ok)
      app.get('/users/:id', ok)
      Object.defineProperty(route, 'path', {
        get() {
          throw new Error('in the labels')
        }
      })
      const layer = (app._router || app.router).stack.find(layer => layer.route === route)
      layer.rawPath = { toString: null }
      const { fetch } = await listen(t, app)
      const before = internalErrors.count
      assert.equal((await fetch('/users/1')).body, 'ok')
      assert.match(internalErrors.last, /in the tracker/)
      assert.equal((await fetch('/broken')).body, 'ok')
      await until(() => ended.length === 2)
      assert.equal(internalErrors.count, before + 2)
      assert.match(internalErrors.last, /in the labels/)
      assert.deepEqual(ended, ['/users/:id', '(unmatched)'])
    })

    test('nothing outside of the request keeps it', async t => {
      const { setFlagsFromString } = require('node:v8')
      setFlagsFromString('--expose-gc')
      const gc = require('node:vm').runInNewContext('gc')
      const refs = []
      const app = express()
      app.use((req, res, next) => {
        observe(begin(req, res), () => {})
        refs.push(new WeakRef(req), new WeakRef(res))
        res.once('close', () => current(req))
        next()
      })
      app.use('/api/:v', express.Router().get('/users/:id', later))
      const { fetch } = await listen(t, app)
      for (let turn = 0; turn < 20; turn++) await fetch(`/api/${turn}/users/${turn}`)
      for (let turn = 0; turn < 50 && refs.some(ref => ref.deref()); turn++) {
        await new Promise(resolve => setTimeout(resolve, 10))
        gc()
      }
      assert.equal(refs.filter(ref => ref.deref()).length, 0)
    })
  })
}
