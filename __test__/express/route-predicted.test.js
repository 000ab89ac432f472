'use strict'

const assert = require('node:assert/strict')
const { test, describe } = require('node:test')
const { begin } = require('../../lib/request/lifecycle')
const { UNMATCHED, observe, current, predict } = require('../../lib/express/route-tracker')
const { seen: internalErrors } = require('../../lib/core/internal-errors')
const { versions, ok, pass, answerError, listen, until, quiet } = require('../support/routes')

for (const { version, express } of versions) {
  describe(`Express ${version}: the route that a refused request would have reached`, () => {
    const predictions = [
      [['GET', '/users/42'], '/users/:id'],
      [['HEAD', '/users/42'], '/users/:id'],
      [['POST', '/users/42'], '(unmatched)'],
      [['POST', '/org/acme/users/42/'], '/org/:org/users/:uid'],
      [['PUT', '/mnt/q/deep/1?x=/users/2'], '/mnt/:m/deep/:d'],
      [['GET', '/r/1/app/2/deep/3'], '/r/:r/app/:a/deep/:d'],
      [['GET', '/upload/file'], '/upload'],
      [['POST', '/many/b/2'], '/many/b/:y'],
      [['GET', '/loop/loop/end'], '/loop/loop/end'],
      [['GET', '/sticky'], '(unmatched)'],
      [['GET', '/users/%E0%A4%A'], version === 4 ? '/users/:id' : '(unmatched)'],
      [['GET', '/nothing'], '(unmatched)'],
      [['GET', '/'], '(unmatched)']
    ]

    function build() {
      let refuse = false
      const calls = []
      const ended = []
      const app = quiet(express())
      app.use((req, res, next) => {
        observe(begin(req, res), () => {})
        res.once('close', () => ended.push(current(req)))
        next()
      })
      app.use((req, res, next) => {
        if (!refuse) return next()
        const { url, baseUrl, params, route } = req
        calls.push(predict(req))
        assert.deepEqual([req.url, req.baseUrl, req.params, req.route], [url, baseUrl, params, route])
        res.status(413).end()
      })
      app.get('/users/:id', ok).use(pass)
      app.use('/org/:org', express.Router().use(pass).post('/users/:uid', ok))
      app.use('/mnt/:m', quiet(express()).put('/deep/:d', ok))
      app.use('/r/:r', express.Router().use('/app/:a', quiet(express()).get('/deep/:d', ok)))
      app
        .use('/upload', ok)
        .post(['/many/a/:x', '/many/b/:y'], ok)
        .get(/^\/sticky/g, ok)
      const loop = express.Router().get('/end', ok)
      app.use('/loop', loop.use('/loop', loop)).use(answerError)
      return {
        app,
        calls,
        ended,
        refuse: yes => {
          refuse = yes
        }
      }
    }

    test('is the one it reaches when it is let through', async t => {
      const { app, calls, ended, refuse } = build()
      const { fetch } = await listen(t, app)
      for (const [[method, path], label] of predictions) {
        const before = ended.length
        refuse(false)
        await fetch(path, method)
        refuse(true)
        await fetch(path, method)
        await until(() => ended.length === before + 2)
        assert.equal(calls.at(-1).label, label, `${method} ${path}`)
        if (!/%|sticky/.test(path)) assert.equal(calls.at(-1), ended.at(-2), `${method} ${path}`)
        assert.equal(ended.at(-1), UNMATCHED)
      }
    })

    test('is known before any request went through, except inside an app that is mounted', async t => {
      const { app, calls, refuse } = build()
      const { fetch } = await listen(t, app)
      refuse(true)
      for (const [[method, path], label] of predictions) {
        await fetch(path, method)
        assert.equal(calls.at(-1).label, path.startsWith('/mnt') ? '/mnt/:m' : label, `${method} ${path}`)
      }
    })

    test('is not a mounted function that was only seen to pass requests on', async t => {
      const calls = []
      let refuse = true
      const app = express()
      app.use((req, res, next) => {
        observe(begin(req, res), () => {})
        res.once('close', () => current(req))
        if (!refuse) return next()
        calls.push(predict(req).label)
        res.status(413).end()
      })
      app.use('/api', pass)
      const { fetch } = await listen(t, app)
      await fetch('/api/x')
      refuse = false
      await fetch('/api/x')
      refuse = true
      await fetch('/api/x')
      assert.deepEqual(calls, ['/api', '(unmatched)'])
    })

    test('is searched without an internal error, whatever a client writes', async t => {
      const before = internalErrors.count
      const asked = []
      const app = quiet(express())
      app.use((req, res, next) => {
        observe(begin(req, res), () => {})
        res.once('close', () => asked.push(current(req).label))
        asked.push(predict(req).label)
        next()
      })
      const router = express
        .Router()
        .get('/users/:id', ok)
        .get(['/a/:x', /^\/b\/(.*)$/], ok)
      router.param('id', pass)
      app.use(['/org/:org', '/team/:team'], router).use('/files/:name', pass).use('/mnt/:m', quiet(express()).use(pass))
      app
        .get('/users/:id', ok)
        .get(version === 4 ? '/wild/*' : '/wild/*rest', ok)
        .use(answerError)
      const { fetch } = await listen(t, app)
      const bad = [
        '%',
        '%zz',
        '%E0%A4%A',
        '%foobar',
        '%00',
        '%c0%ae',
        '__proto__',
        'constructor',
        '..',
        ':id',
        '*',
        '//'
      ]
      const paths = [
        '/users/X',
        '/org/X/users/1',
        '/org/1/users/X',
        '/team/X/a/X',
        '/org/X/b/X',
        '/files/X/Y',
        '/mnt/X/Y'
      ]
      paths.push('/wild/X/Y', '/X', 'http://X/users/X', '/?X', '/users/1?X=X')
      for (const path of paths) {
        for (const text of bad) {
          for (const method of ['GET', 'OPTIONS']) await fetch(path.replaceAll('X', text), method)
        }
      }
      await until(() => asked.length === paths.length * bad.length * 4)
      assert.equal(internalErrors.count, before, internalErrors.last)
      for (const label of asked) assert.doesNotMatch(label, /%|__proto__|constructor/)
    })

    test('is found from inside a router, a mounted app and the route itself, observed or not', async t => {
      const calls = []
      const refuse = (req, res) => {
        calls.push(predict(req).label)
        res.status(413).end()
      }
      const inner = quiet(express()).use(refuse).get('/deep/:d', ok)
      const app = express().post('/own/:id', refuse, ok)
      app.use('/org/:org', express.Router().use(refuse).get('/users/:id', ok)).use('/mnt/:m', inner)
      const observed = express().use((req, res, next) => {
        observe(begin(req, res), () => {})
        next()
      }, app)
      for (const handler of [app, observed]) {
        const { fetch } = await listen(t, handler)
        calls.length = 0
        for (const path of ['/org/acme/users/42', '/org/acme/none', '/mnt/q/deep/1']) await fetch(path)
        await fetch('/own/1', 'POST')
        assert.deepEqual(calls, ['/org/:org/users/:id', '(unmatched)', '/mnt/:m/deep/:d', '/own/:id'])
      }
    })
  })
}
