'use strict'

const { framework } = require('../support/frameworks.js')

const json = { 'content-type': 'application/json' }

framework('feathers', {
  requests: [
    ['GET', '/messages'],
    ['GET', '/messages?text=hello'],
    ['POST', '/messages', { headers: json, body: '{"text":"second"}' }],
    ['POST', '/messages', { headers: json, body: '{"text"' }],
    ['POST', '/messages', { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'text=third' }],
    ['GET', '/messages/1'],
    ['GET', '/messages/99'],
    ['PATCH', '/messages/1', { headers: json, body: '{"text":"other"}' }],
    ['PUT', '/messages/1', { headers: json, body: '{"text":"no such method"}' }],
    ['DELETE', '/messages/2'],
    ['GET', '/messages', { headers: { accept: 'text/html' } }],
    ['GET', '/plain/7'],
    ['HEAD', '/plain/7'],
    ['GET', '/nowhere']
  ],
  load: '/messages/0',
  // Feathers responds with 500 to every error that is not its own, including body-parser's 413.
  tooLarge: { status: 500, path: '/messages', body: /"message":"request entity too large".*"code":500/ },
  // Invalid JSON is refused before the app has named the request.
  labels: [
    'DELETE /messages/:id',
    'GET (unmatched)',
    'GET /messages',
    'GET /messages/:id',
    'GET /metrics',
    'GET /plain/:id',
    'HEAD /plain/:id',
    'PATCH /messages/:id',
    'POST (unmatched)',
    'POST /messages',
    'PUT /messages/:id'
  ]
})
