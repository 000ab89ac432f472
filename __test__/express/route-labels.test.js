'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const { test, describe } = require('node:test')
const { begin } = require('../../lib/request/lifecycle')
const { observe } = require('../../lib/express/route-tracker')
const {
  versions,
  ok,
  pass,
  later,
  soon,
  fail,
  notFound,
  tracker,
  listen,
  until,
  quiet,
  labelled
} = require('../support/routes')

const cases = [
  {
    name: 'a parameter is shown by its name',
    build: ({ app }) => app.get('/users/:id', ok),
    expect: [['/users/42', '/users/:id']]
  },
  {
    name: 'the root route is /',
    build: ({ app }) => app.get('/', ok),
    expect: [
      ['/', '/'],
      ['/?a=1', '/']
    ]
  },
  {
    name: 'the query string is no part of it',
    build: ({ app }) => app.get('/users/:id', ok),
    expect: [['/users/42?token=secret', '/users/:id']]
  },
  {
    name: 'a request line with a whole URL is labelled like any other',
    build: ({ app, express }) => app.use('/api', express.Router().get(['/a/:x', '/b/:y'], ok)),
    expect: [['http://somewhere/api/b/2?c', '/api/b/:y']]
  },
  {
    name: 'nested routers with mergeParams show each mount by its pattern',
    build: ({ app, express }) => {
      const posts = express.Router({ mergeParams: true }).get('/:pid', ok)
      const users = express.Router({ mergeParams: true }).use('/posts', posts)
      app.use('/org/:org/users/:uid', users)
    },
    expect: [
      ['/org/acme/users/42/posts/7', '/org/:org/users/:uid/posts/:pid'],
      ['/org/org/users/users/posts/posts', '/org/:org/users/:uid/posts/:pid']
    ]
  },
  {
    name: 'nested routers without mergeParams as well',
    build: ({ app, express }) => {
      const posts = express.Router().get('/:pid', later)
      app.use('/org/:org', express.Router().use('/users/:uid', express.Router().use('/posts', posts)))
    },
    expect: [['/org/acme/users/42/posts/7', '/org/:org/users/:uid/posts/:pid']]
  },
  {
    name: 'an answer from a timer keeps the label',
    build: ({ app, express }) => app.use('/org/:org', express.Router().get('/:id', later)),
    expect: [['/org/acme/7', '/org/:org/:id']]
  },
  {
    name: 'an answer after await keeps the label',
    build: ({ app, express }) => app.use('/org/:org', express.Router().get('/:id', soon)),
    expect: [['/org/acme/7', '/org/:org/:id']]
  },
  {
    name: 'a handler mounted at a path is labelled by that path',
    build: ({ app }) => app.use('/static', ok),
    expect: [
      ['/static', '/static'],
      ['/static/deep/file.js', '/static']
    ]
  },
  {
    name: 'a handler mounted at a pattern is labelled by the pattern',
    build: ({ app }) => app.use('/files/:bucket', later),
    expect: [['/files/photos/1.jpg', '/files/:bucket']]
  },
  {
    name: 'a matched route that passes on to nothing is unmatched',
    build: ({ app }) => app.get('/users/:id', pass),
    expect: [['/users/42', '(unmatched)']]
  },
  {
    name: 'a matched route that passes on to a 404 handler at the root is unmatched',
    build: ({ app }) => app.get('/users/:id', pass).use(notFound),
    expect: [
      ['/users/42', '(unmatched)'],
      ['/else', '(unmatched)']
    ]
  },
  {
    name: 'a route that passes on later, from a timer, is unmatched',
    build: ({ app }) => app.get('/users/:id', (_req, _res, next) => setTimeout(next, 5)),
    expect: [['/users/42', '(unmatched)']]
  },
  {
    name: 'what no route matches is unmatched',
    build: ({ app }) => app.get('/users/:id', ok),
    expect: [
      ['/nothing/42', '(unmatched)'],
      [['POST', '/users/42'], '(unmatched)']
    ]
  },
  {
    name: 'a handler at the root that answers is unmatched',
    build: ({ app }) => app.use(ok),
    expect: [['/users/42', '(unmatched)']]
  },
  {
    name: 'a router in which nothing matches gives the request back unlabelled',
    build: ({ app, express }) => app.use('/api', express.Router().get('/users', ok)).use(notFound),
    expect: [
      ['/api/nothing', '(unmatched)'],
      ['/api/users', '/api/users']
    ]
  },
  {
    name: 'a router that answers from its own middleware is labelled by its mount',
    build: ({ app, express }) =>
      app.use(
        '/api/:v',
        express.Router().use((_req, res) => res.status(401).end())
      ),
    expect: [['/api/1/users/42', '/api/:v']]
  },
  {
    name: 'a route that is a regular expression is labelled by its source',
    build: ({ app }) => app.get(/^\/re(g)?$/, ok),
    expect: [
      ['/reg', '^\\/re(g)?$'],
      ['/re', '^\\/re(g)?$']
    ]
  },
  {
    name: 'a mount that is a regular expression is labelled by its source',
    build: ({ app }) => app.use(/^\/m[0-9]+/, ok),
    expect: [['/m12/x', '^\\/m[0-9]+']]
  },
  {
    name: 'of several paths of a route the one that matched is shown',
    build: ({ app }) => app.get(['/users/:id', '/people/:name', /^\/p(\d+)$/], ok),
    expect: [
      ['/users/1', '/users/:id'],
      ['/people/ann', '/people/:name'],
      ['/p77', '^\\/p(\\d+)$']
    ]
  },
  {
    name: 'of several paths of a mount the one that matched is shown',
    build: ({ app, express }) => app.use(['/v1/:tenant', '/:tenant/v2'], express.Router().get('/x/:id', ok)),
    expect: [
      ['/v1/acme/x/1', '/v1/:tenant/x/:id'],
      ['/acme/v2/x/1', '/:tenant/v2/x/:id']
    ]
  },
  {
    name: 'of several paths of a mount / adds nothing', // Express 5 matches such a / to itself only
    only: 4,
    build: ({ app, express }) => app.use(['/api', '/'], express.Router().get('/x/:id', ok)),
    expect: [
      ['/api/x/1', '/api/x/:id'],
      ['/x/1', '/x/:id']
    ]
  },
  {
    name: 'a mount with a constraint, an optional part or an escape is shown readably', // Express 5 has no such paths
    only: 4,
    build: ({ app, express }) => {
      const router = express.Router().get('/x/:id', ok)
      app
        .use('/n/:n(\\d+)/:m', router)
        .use('/o/:o?', router)
        .use(['/v1.0/:a', '/w*', /^\/re(g)/], router)
    },
    expect: [
      ['/n/5/6/x/1', '/n/:n/:m/x/:id'],
      ['/o/5/x/1', '/o/:o?/x/:id'],
      ['/v1.0/7/x/1', '/v1.0/:a/x/:id'],
      ['/wide/x/1', '(unmatched)'], // all of it is the mount
      ['/reg/x/1', '^\\/re(g)/x/:id']
    ]
  },
  {
    name: 'several parameters in a segment of a mount are all shown by name',
    build: ({ app, express }) => app.use('/flights/:from-:to', express.Router().get('/seats/:n', ok)),
    expect: [['/flights/LAX-SFO/seats/3', '/flights/:from-:to/seats/:n']]
  },
  {
    name: 'a router at / under a mount has the label of the mount',
    build: ({ app, express }) => app.use('/api', express.Router().get('/', ok)),
    expect: [
      ['/api', '/api'],
      ['/api/', '/api']
    ]
  },
  {
    name: 'trailing slashes change nothing',
    build: ({ app, express }) => app.use('/api/', express.Router().get('/users/:id/', ok)).get('/plain/', ok),
    expect: [
      ['/api/users/4/', '/api/users/:id'],
      ['/api/users/4', '/api/users/:id'],
      ['/plain', '/plain']
    ]
  },
  {
    name: 'the case of the pattern counts, not that of the URL',
    build: ({ app, express }) => app.use('/Api', express.Router().get('/Users/:id', ok)),
    expect: [['/aPI/uSERS/4', '/Api/Users/:id']]
  },
  {
    name: 'a mounted app adds its mount',
    build: ({ app, express }) => app.use('/mnt/:m', quiet(express()).get('/deep/:d', ok)),
    expect: [['/mnt/q/deep/1', '/mnt/:m/deep/:d']]
  },
  {
    name: 'an app mounted on a router adds its mount',
    build: ({ app, express }) => {
      app.use('/r/:r', express.Router().use('/mnt/:m', quiet(express()).get('/deep/:d', later)))
    },
    expect: [['/r/x/mnt/q/deep/1', '/r/:r/mnt/:m/deep/:d']]
  },
  {
    name: 'an app in an app in an app adds all mounts',
    build: ({ app, express }) => {
      const inner = quiet(express()).get('/c/:c', soon)
      app.use('/a/:a', quiet(express()).use('/b/:b', inner))
    },
    expect: [
      ['/a/1/b/2/c/3', '/a/:a/b/:b/c/:c'],
      ['/a/1/b/2/none', '(unmatched)']
    ]
  },
  {
    name: 'a router made anew for each request is labelled',
    build: ({ app, express }) => {
      const make = () => express.Router().get('/made/:id', ok)
      app.use('/x', (req, res, next) => make()(req, res, next))
    },
    expect: [
      ['/x/made/1', '/x/made/:id'],
      ['/x/made/2', '/x/made/:id'],
      ['/x/none', '(unmatched)']
    ]
  },
  {
    name: 'a router mounted twice has two labels for one route',
    build: ({ app, express }) => {
      const router = express.Router().get('/:id', ok)
      app.use('/a', router).use('/b', router)
    },
    expect: [
      ['/a/1', '/a/:id'],
      ['/b/1', '/b/:id'],
      ['/a/2', '/a/:id']
    ]
  },
  {
    name: 'app.param leaves the label as it is',
    build: ({ app }) => {
      app.param('id', (_req, _res, next) => setImmediate(next))
      app.get('/users/:id', ok)
    },
    expect: [['/users/42', '/users/:id']]
  },
  {
    name: 'a param callback that fails or answers counts for the route it stands before',
    build: ({ app, express }) => {
      const router = express.Router().get('/users/:id', ok).get('/teams/:team', ok)
      router.param('id', fail).param('team', ok)
      app.use('/org/:org', router).get('/before', pass)
    },
    expect: [
      ['/org/a/users/42', '/org/:org/users/:id'],
      ['/org/a/teams/1', '/org/:org/teams/:team']
    ]
  },
  {
    name: 'a param callback that skips its route leaves no label',
    build: ({ app }) => {
      app.param('id', (_req, _res, next) => next('route'))
      app.get('/users/:id', ok).use(notFound)
    },
    expect: [['/users/42', '(unmatched)']]
  }
]

for (const { version, express } of versions) {
  describe(`Express ${version}: the label of a request`, () => {
    labelled({ version, express }, cases)

    test('two requests at once do not mix their labels', async t => {
      const { track, ended } = tracker()
      const app = express().use(track)
      app.param('id', (_req, _res, next, id) => setTimeout(next, Number(id)))
      app.use('/slow/:id', express.Router().get('/:x', later)).use('/fast/:f', express.Router().get('/:y', soon))
      const { fetch } = await listen(t, app)
      await Promise.all(['/slow/9/1', '/fast/1/1', '/slow/3/1', '/fast/2/2', '/slow/1/1'].map(path => fetch(path)))
      await until(() => ended.length === 5)
      assert.deepEqual(ended.map(({ label }) => label).sort(), [
        '/fast/:f/:y',
        '/fast/:f/:y',
        '/slow/:id/:x',
        '/slow/:id/:x',
        '/slow/:id/:x'
      ])
    })

    test('a route has one entry for all callers', async t => {
      const { track, ended } = tracker()
      const make = () => express.Router().get('/:id', ok)
      const app = express()
        .use(track)
        .use('/made', (req, res, next) => make()(req, res, next))
      app.use('/api', express.Router().get('/users/:id', ok)).use('/api', express.Router().get('/users/:id/x', ok))
      const { fetch } = await listen(t, app)
      for (const path of ['/made/1', '/made/2', '/api/users/1', '/api/users/2']) await fetch(path)
      await until(() => ended.length === 4)
      assert.equal(ended[0], ended[1])
      assert.equal(ended[2], ended[3])
      assert.deepEqual(ended[0], { label: '/made/:id', id: -1 })
    })

    test('each route is reported before its handlers run', async t => {
      const order = []
      const app = express()
      app.use((req, res, next) => {
        observe(begin(req, res), (state, { label }) => order.push(state.req === req && label))
        next()
      })
      const note = (_req, _res, next) => {
        order.push('handler')
        next()
      }
      app.get('/users/:id', note).use('/users', note, express.Router().get('/:name', note, ok))
      const { fetch } = await listen(t, app)
      await fetch('/users/42')
      assert.deepEqual(order, ['/users/:id', 'handler', 'handler', '/users/:name', 'handler'])
    })

    test('a request that its client gave up keeps the label of the route that has it', async t => {
      const { track, ended } = tracker()
      let arrived = false
      const app = express().use(track)
      app.use(
        '/api',
        express.Router().get('/hang/:id', () => {
          arrived = true
        })
      )
      const { server } = await listen(t, app)
      const request = http.get({ port: server.address().port, path: '/api/hang/1' }).on('error', () => {})
      await until(() => arrived)
      request.destroy()
      await until(() => ended.length === 1)
      assert.equal(ended[0].label, '/api/hang/:id')
    })
  })
}
