'use strict'

const { framework } = require('../support/frameworks.js')

const json = { 'content-type': 'application/json' }

framework('json-server', {
  requests: [
    ['GET', '/api/posts'],
    ['GET', '/api/posts?_page=2&_limit=5&_sort=title&_order=desc'],
    ['GET', '/api/posts?title_like=1&_embed=comments&_expand=author'],
    ['GET', '/api/posts', { headers: { 'accept-encoding': 'gzip' } }],
    ['HEAD', '/api/posts'],
    ['GET', '/api/posts/2'],
    ['GET', '/api/posts/2', { headers: { 'if-none-match': '"nothing"', origin: 'http://a.test' } }],
    ['GET', '/api/posts/1/comments'],
    ['GET', '/api/posts/999'],
    ['OPTIONS', '/api/posts', { headers: { origin: 'http://a.test', 'access-control-request-method': 'POST' } }],
    ['POST', '/api/posts', { headers: json, body: '{"title":"new"}' }],
    ['POST', '/api/posts', { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'title=form' }],
    ['PUT', '/api/posts/1', { headers: json, body: '{"title":"put"}' }],
    ['PATCH', '/api/posts/1', { headers: json, body: '{"title":"patched"}' }],
    ['POST', '/api/posts/1', { headers: { ...json, 'x-http-method-override': 'DELETE' } }],
    ['DELETE', '/api/posts/3'],
    ['GET', '/api/profile'],
    ['PATCH', '/api/profile', { headers: json, body: '{"name":"b"}' }],
    ['GET', '/api/db'],
    ['GET', '/echo?a=1&callback=f'],
    ['GET', '/blog/2/show'],
    ['GET', '/'],
    ['GET', '/nowhere'],
    ['GET', '/%']
  ],
  load: '/api/posts/4',
  tooLarge: { path: '/api/posts', body: /Payload Too Large/ },
  // Nested resources are rewritten to their own. What no route of a mount has found is handled at the mount. Static
  // files, and responses of CORS, belong to no route.
  labels: [
    'DELETE /api/posts/:id',
    'GET (unmatched)',
    'GET /api',
    'GET /api/comments',
    'GET /api/db',
    'GET /api/posts',
    'GET /api/posts/:id',
    'GET /api/profile',
    'GET /echo',
    'GET /metrics',
    'HEAD /api/posts',
    'OPTIONS (unmatched)',
    'PATCH /api/posts/:id',
    'PATCH /api/profile',
    'POST /api/posts',
    'POST /api/posts/:id',
    'PUT /api/posts/:id'
  ]
})
