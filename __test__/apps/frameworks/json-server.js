'use strict'

/*
 * json-server as a module: its routes put their result into `res.locals` and call `next()`. A later middleware
 * responds.
 */

const jsonServer = require('json-server')
const front = require('./front.js')
const serve = require('./serve.js')
const plimsoll = require('../../..')

const server = jsonServer.create()
for (const middleware of front) server.use(middleware)
if (front.length > 0) server.get('/metrics', plimsoll.metrics())
server.use(jsonServer.defaults({ logger: false }))
server.use(jsonServer.bodyParser)
server.get('/echo', (req, res) => res.jsonp(req.query))
server.use(jsonServer.rewriter({ '/blog/:id/show': '/api/posts/:id' }))
server.use(
  '/api',
  jsonServer.router({
    posts: Array.from({ length: 30 }, (_, i) => ({ id: i + 1, title: `post ${i + 1}`, authorId: (i % 3) + 1 })),
    comments: [{ id: 1, body: 'first', postId: 1 }],
    profile: { name: 'typicode' }
  })
)
const listening = server.listen(0, '127.0.0.1', () => serve(listening))
