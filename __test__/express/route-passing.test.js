'use strict'

const { describe } = require('node:test')
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
  quiet,
  labelled
} = require('../support/routes')

const cases = [
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
      app.use('/guard/:g', fail).use('/in', express.Router().use(explode))
      app.use('/404', express.Router().use(fail404)).use('/seen/:s', fail404, answerError)
    },
    expect: [
      ['/guard/1/x', '/guard/:g'],
      ['/in/x', '/in'],
      ['/404/x', '/404'],
      ['/seen/1', '/seen/:s']
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
    name: 'after an error handler has recovered to nothing the label is that of what failed, or of where it ended',
    build: ({ app, express }) => {
      app.get('/users/:id', fail).use(recover)
      app.use('/api', express.Router().get('/x/:id', fail).use(recover).use(notFound))
    },
    expect: [
      ['/users/42', '/users/:id'],
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
    name: 'a route that leaves the answer to a later middleware is the label',
    build: ({ app, express }) => {
      const set = (req, res, next) => {
        res.locals.data = req.params.id
        next()
      }
      const send = (_req, res, next) => (res.locals.data === undefined ? next() : res.end(res.locals.data))
      app.all('/posts/:id', pass).get('/posts/:id', set)
      app.use('/api', express.Router().get('/later/:id', set).use(pass), express.Router().use(send))
      app.use('/mounted', express.Router().get('/x/:id', set)).get('/error/:id', pass)
      app.get('/own/:id', set).use('/own', ok).use('/posts', pass).use(send).use('/error', fail)
    },
    expect: [
      ['/posts/1', '/posts/:id'],
      ['/mounted/x/1', '/mounted/x/:id'],
      ['/api/later/1', '/api/later/:id'],
      ['/error/1', '/error/:id'],
      ['/own/1', '/own/:id'],
      ['/none', '(unmatched)']
    ]
  },
  {
    name: 'a route that leaves the answer to its own router, or to an error handler that recovers, is the label',
    build: ({ app, express }) => {
      const router = express
        .Router()
        .get('/x/:id', pass)
        .get('/y/:id', (_req, _res, next) => setImmediate(next))
      app.use('/api/:v', router.use(later)).get('/fails/:id', fail).use(recover).use(ok)
    },
    expect: [
      ['/api/1/x/1', '/api/:v/x/:id'],
      ['/api/1/y/1', '/api/:v/y/:id'],
      ['/api/1/z/1', '/api/:v'],
      ['/fails/1', '/fails/:id'],
      ['/else', '(unmatched)']
    ]
  },
  {
    name: 'a route that gives the request to another router is not the label of what that answers',
    build: ({ app, express }) => {
      app
        .use(
          '/api',
          express.Router().get('/x/:id', (_req, _res, next) => next('router'))
        )
        .use(ok)
    },
    expect: [['/api/x/1', '(unmatched)']]
  },
  {
    name: 'a middleware in a mount that gives req.url the whole path again does not double the mount',
    build: ({ app, express }) => {
      const whole = (req, _res, next) => {
        req.url = req.originalUrl
        next()
      }
      const renamed = (req, _res, next) => {
        req.url = `/old/new${req.url}`
        next()
      }
      const doubled = express.Router().get('/twice/:id', ok)
      app.use('/api', express.Router().use(whole).get('/api/data/:id', ok).get(['/api/a', '/api/b/:b'], ok))
      app.use('/org/:org/v1', express.Router().use('/in', express.Router().use(whole).get('/org/:o/v1/in/:id', ok)))
      app.use('/old', express.Router().use(renamed).get('/old/new/:id', ok))
      app.use('/mnt', express.Router().use('/old', renamed, express.Router().get('/old/new/:id', ok)))
      app.use('/twice', doubled)
    },
    expect: [
      ['/api/data/1', '/api/data/:id'],
      ['/api/data/1?q=1', '/api/data/:id'],
      ['/api/b/1', '/api/b/:b'],
      ['/org/acme/v1/in/7', '/org/:o/v1/in/:id'],
      ['/old/7', '/old/new/:id'],
      ['/mnt/old/7', '/mnt/old/new/:id'],
      ['/twice/twice/1?q=1', '/twice/twice/:id']
    ]
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
  describe(`Express ${version}: the label of a request that is passed on, fails, or is observed on its way`, () =>
    labelled({ version, express }, cases))
}
