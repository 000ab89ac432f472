'use strict'

const { framework } = require('../support/frameworks.js')

const json = { 'content-type': 'application/json' }
const form = [
  '--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nTom\r\n',
  '--b\r\nContent-Disposition: form-data; name="file"; filename="tom.png"\r\nContent-Type: image/png\r\n\r\npixels\r\n--b--\r\n'
].join('')

framework('nest', {
  requests: [
    ['GET', '/api/cats'],
    ['HEAD', '/api/cats'],
    ['GET', '/api/cats/7'],
    ['GET', '/api/cats/seven'],
    ['GET', '/api/cats/700'],
    ['GET', '/api/cats/purr'],
    ['GET', '/api/cats/refuse'],
    ['GET', '/api/cats/explode'],
    ['GET', '/api/cats/secret'],
    ['GET', '/api/cats/secret', { headers: { authorization: 'cat' } }],
    ['OPTIONS', '/api/cats', { headers: { origin: 'http://a.test', 'access-control-request-method': 'POST' } }],
    ['POST', '/api/cats', { headers: json, body: '{"name":"Felix"}' }],
    ['POST', '/api/cats', { headers: json, body: '{"name"' }],
    ['POST', '/api/cats/7/picture', { headers: { 'content-type': 'multipart/form-data; boundary=b' }, body: form }],
    ['GET', '/api/dogs'],
    ['GET', '/'],
    ['GET', '/api/cats/%']
  ],
  load: '/api/cats/7',
  tooLarge: { path: '/api/cats', body: /"statusCode":413/ },
  // `/api/*path` is where Nest responds that there is no such route.
  labels: [
    'GET (unmatched)',
    'GET /api/*path',
    'GET /api/cats',
    'GET /api/cats/:id',
    'GET /api/cats/explode',
    'GET /api/cats/purr',
    'GET /api/cats/refuse',
    'GET /api/cats/secret',
    'GET /metrics',
    'HEAD /api/cats',
    'OPTIONS (unmatched)',
    'POST (unmatched)',
    'POST /api/cats',
    'POST /api/cats/:id/picture'
  ]
})
