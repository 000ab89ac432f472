'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const { test, describe } = require('node:test')
const { seen: faults } = require('../lib/faults')
const { begin } = require('../lib/lifetime')
const { observe } = require('../lib/route')
const {
  versions,
  ok,
  pass,
  later,
  soon,
  fail,
  fail404,
  explode,
  answerError,
  recover,
  notFound,
  tracker,
  listen,
  until,
  quiet
} = require('./support/routes')

/** name, the app, the request (a path, or [method, path]), the label, and more such pairs on the same server */
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
  },
  {
    name: "next('route') leads to the label of the route that answers",
    build: ({ app }) => app.get('/users/:id', (_req, _res, next) => next('route'), ok).get('/users/:name', ok),
    expect: [['/users/42', '/users/:name']]
  },
  {
    name: "next('route') to nothing is unmatched",
    build: ({ app }) => app.get('/users/:id', (_req, _res, next) => next('route'), ok),
    expect: [['/users/42', '(unmatched)']]
  },
  {
    name: "next('router') leaves the router and its label",
    build: ({ app, express }) => {
      const leave = (_req, _res, next) => next('router')
      app.use('/api', express.Router().get('/users/:id', leave).get('/users/:id', ok))
      app.get('/api/users/42', ok)
    },
    expect: [
      ['/api/users/42', '/api/users/42'],
      ['/api/users/43', '(unmatched)']
    ]
  },
  {
    name: 'an error from a route keeps its label',
    build: ({ app, express }) => {
      app.use('/api', express.Router().get('/next/:id', fail).get('/throw/:id', explode).get('/404/:id', fail404))
    },
    expect: [
      ['/api/next/1', '/api/next/:id'],
      ['/api/throw/1', '/api/throw/:id'],
      ['/api/404/1', '/api/404/:id']
    ]
  },
  {
    name: 'an error from a route keeps its label when an error handler of the app answers it',
    build: ({ app, express }) => {
      app.use('/api', express.Router().get('/next/:id', fail).get('/throw/:id', explode).get('/404/:id', fail404))
      app.use(notFound).use('/api', answerError)
    },
    expect: [
      ['/api/next/1', '/api/next/:id'],
      ['/api/throw/1', '/api/throw/:id'],
      ['/api/404/1', '/api/404/:id'],
      ['/api/nothing', '(unmatched)']
    ]
  },
  {
    name: 'an error from a route of a mounted app keeps its label outside of it',
    build: ({ app, express }) => app.use('/mnt/:m', quiet(express()).get('/deep/:d', fail)).use(answerError),
    expect: [['/mnt/q/deep/1', '/mnt/:m/deep/:d']]
  },
  {
    name: 'an error from a mounted handler keeps the label of the mount',
    build: ({ app, express }) => {
      app.use('/guard/:g', fail404).use('/in', express.Router().use(explode))
    },
    expect: [
      ['/guard/1/x', '/guard/:g'],
      ['/in/x', '/in']
    ]
  },
  {
    name: 'an error from a handler at the root is unmatched',
    build: ({ app }) => app.use(fail).get('/users/:id', ok),
    expect: [['/users/42', '(unmatched)']]
  },
  {
    name: 'after an error handler has recovered, the route that answers is the label',
    build: ({ app }) => app.get('/users/:id', fail).use(recover).get('/users/:name', ok),
    expect: [['/users/42', '/users/:name']]
  },
  {
    name: 'after an error handler has recovered to nothing there is no label',
    build: ({ app, express }) => {
      app.get('/users/:id', fail).use(recover)
      app.use('/api', express.Router().get('/x/:id', fail).use(recover).use(notFound))
    },
    expect: [
      ['/users/42', '(unmatched)'],
      ['/api/x/1', '/api']
    ]
  },
  {
    name: 'an error handler inside a route keeps the label of the route',
    build: ({ app }) => app.get('/users/:id', fail, recover, ok),
    expect: [['/users/42', '/users/:id']]
  },
  {
    name: 'a route that answers and passes on all the same keeps its label',
    build: ({ app }) => {
      const both = (_req, res, next) => {
        res.end('ok')
        next()
      }
      app.get('/users/:id', both).get('/users/:name', pass).use('/users', pass)
    },
    expect: [['/users/42', '/users/:id']]
  },
  {
    name: 'a static file is labelled by its mount, a missing one is unmatched',
    build: ({ app, express }) => app.use('/files', express.static(__dirname)),
    expect: [
      ['/files/route-labels.test.js', '/files'],
      ['/files/none.js', '(unmatched)']
    ]
  },
  {
    name: 'a request dispatched again under another URL has the label of where it ended',
    build: ({ app }) => {
      const again = (req, res) => {
        req.url = '/new/1'
        app.handle(req, res)
      }
      app.get('/old/:id', again).get('/new/:id', ok)
    },
    expect: [['/old/1', ['/new/:id', '/new/:id']]]
  },
  {
    name: 'the same URL rewritten on its way has the label of the route that answered',
    build: ({ app }) => {
      const rewrite = (req, _res, next) => {
        req.url = req.url.replace('/old', '/new')
        next()
      }
      app.use(rewrite).get('/new/:id', ok)
    },
    expect: [['/old/1', '/new/:id']]
  },
  {
    name: 'HEAD is served by the GET route and has its label',
    build: ({ app }) => app.post('/users/:id', ok).get('/users/:name', ok),
    expect: [[['HEAD', '/users/42'], '/users/:name']]
  },
  {
    name: 'app.all and app.route are labelled',
    build: ({ app }) => {
      app.all('/all/:id', pass, ok)
      app.route('/route/:id').all(pass).post(ok)
    },
    expect: [
      [['PUT', '/all/1'], '/all/:id'],
      [['POST', '/route/1'], '/route/:id'],
      ['/route/1', '(unmatched)']
    ]
  },
  {
    name: 'a label has at most 200 characters',
    build: ({ app }) => app.get(`/${'long/'.repeat(60)}:id`, ok),
    expect: [[`/${'long/'.repeat(60)}1`, `/${'long/'.repeat(60)}`.slice(0, 200)]]
  },
  {
    name: 'a URL that cannot be decoded is unmatched',
    build: ({ app }) => app.get('/users/:id', ok),
    expect: [['/users/%E0%A4%A', '(unmatched)']]
  },
  {
    name: 'a router from another copy of Express is labelled',
    build: ({ app, other }) => app.use('/foreign/:f', other.Router().get('/users/:id', ok)),
    expect: [['/foreign/1/users/2', '/foreign/:f/users/:id']]
  },
  {
    name: 'an app from another copy of Express is labelled',
    build: ({ app, other }) => app.use('/foreign/:f', quiet(other()).get('/users/:id', ok)),
    expect: [
      ['/foreign/1/users/2', '/foreign/:f/users/:id'],
      ['/foreign/1/users/2', '/foreign/:f/users/:id']
    ]
  },
  {
    name: 'observed inside a router, the mount above is shown by its pattern',
    own: true,
    build: ({ app, express, track }) => {
      const router = express.Router().use(track).get('/users/:id', ok).get('/late/:id', later)
      router.get('/fail/:id', fail).use('/inner/:i', express.Router().get('/x/:x', ok))
      app.use('/org/:org', router).get('/org/acme/after/:id', ok).use('/org/:any/mounted', ok)
    },
    expect: [
      ['/org/acme/users/42', '/org/:org/users/:id'],
      ['/org/acme/late/42', '/org/:org/late/:id'],
      ['/org/acme/fail/42', '/org/:org/fail/:id'],
      ['/org/acme/inner/1/x/2', '/org/:org/inner/:i/x/:x'],
      ['/org/acme/after/1', '/org/acme/after/:id'],
      ['/org/acme/mounted/1', '/org/:any/mounted'],
      ['/org/acme/nothing', '(unmatched)']
    ]
  },
  {
    name: 'a route in front of plimsoll that passed the request on is not its label',
    own: true,
    build: ({ app, track }) => app.get('/users/:id', pass).use(track).use(notFound),
    expect: [['/users/42', '(unmatched)']]
  },
  {
    name: 'observed inside a router, what its middleware does counts for the mount',
    own: true,
    build: ({ app, express, track }) => {
      const answer = (req, res, next) => (req.query.fail ? next(new Error('deliberate')) : res.end('ok'))
      app.use('/org/:org', express.Router().use(track, answer))
    },
    expect: [
      ['/org/acme/x', '/org/:org'],
      ['/org/acme/x?fail=1', '/org/:org']
    ]
  },
  {
    name: 'observed in front of a router at the same mount, the mount is shown once',
    own: true,
    build: ({ app, express, track }) => {
      app.use('/api/:v', track, express.Router().get('/users/:id', ok)).use(notFound)
    },
    expect: [
      ['/api/1/users/42', '/api/:v/users/:id'],
      ['/api/1/nothing', '(unmatched)']
    ]
  },
  {
    name: 'observed inside a mounted app, the mount above is shown by its pattern',
    own: true,
    build: ({ app, express, track }) => {
      const inner = quiet(express()).use(track).get('/deep/:d', ok)
      inner.use('/r/:r', express.Router().get('/x/:x', later))
      app.use('/other/:o', quiet(express())).use('/mnt/:m', inner)
    },
    expect: [
      ['/mnt/q/deep/1', '/mnt/:m/deep/:d'],
      ['/mnt/q/r/1/x/2', '/mnt/:m/r/:r/x/:x'],
      ['/mnt/q/nothing', '(unmatched)']
    ]
  },
  {
    name: 'observed inside a router that is made for each request, ids in the mount are left out',
    own: true,
    build: ({ app, express, track }) => {
      const make = () => {
        const inner = express.Router({ mergeParams: true }).use(track).get('/x/:x', ok)
        return express.Router({ mergeParams: true }).use('/team/:team/:n', inner)
      }
      app.use('/org/:org', (req, res, next) => make()(req, res, next))
    },
    expect: [['/org/acme/team/red/1/x/7', '/org/:org/team/:team/:n/x/:x']]
  },
  {
    name: 'observed as a handler of the route, the route is the label',
    own: true,
    build: ({ app, express, track }) => {
      app.use('/api', express.Router().get('/users/:id', track, ok).all('/all/:id', track, soon))
    },
    expect: [
      ['/api/users/42', '/api/users/:id'],
      ['/api/all/42', '/api/all/:id']
    ]
  },
  {
    name: 'to observe a request a second time changes nothing',
    build: ({ app, express, track }) => app.use('/api', express.Router().use(track).get('/users/:id', ok)),
    expect: [['/api/users/42', ['/api/users/:id', '/api/users/:id']]]
  }
]

for (const { version, express } of versions) {
  const other = versions.find(each => each.express !== express).express

  describe(`Express ${version}: the label of a request`, () => {
    for (const { name, only, own, build, expect } of cases) {
      test(name, { skip: only && only !== version }, async t => {
        const { track, ended } = tracker()
        const app = quiet(express())
        if (!own) app.use(track)
        build({ app, express, other, track })
        const before = faults.count
        const { fetch } = await listen(t, app)
        for (const [request, label] of expect) {
          const [method, target] = [request].flat().length === 2 ? request : ['GET', request]
          const labels = [label].flat()
          ended.length = 0
          await fetch(target, method)
          await until(() => ended.length >= labels.length)
          assert.deepEqual(
            ended.map(entry => entry.label),
            labels,
            `${method} ${target}`
          )
        }
        assert.equal(faults.count, before, faults.last)
      })
    }

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

    test('a route has one entry, whoever asks for it', async t => {
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

    test('each route is told of before its handlers run', async t => {
      const order = []
      const app = express()
      app.use((req, res, next) => {
        observe(begin(req, res), (life, { label }) => order.push(life.req === req && label))
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
