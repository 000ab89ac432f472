'use strict'

/* An app that knows nothing of Plimsoll. Its server is of the kind of the first argument. It prints its port. */

const fs = require('node:fs')
const http = require('node:http')

const [, , kind] = process.argv
const tls = () => ({ key: fs.readFileSync(process.env.KEY), cert: fs.readFileSync(process.env.CERT) })

function handle(req, res) {
  const [path] = req.url.split('?')
  if (path === '/echo') {
    res.setHeader('x-method', req.method)
    return req.pipe(res)
  }
  if (path === '/late') return setTimeout(() => res.end('late'), 20)
  if (path === '/chunks') {
    res.write('one ')
    return res.end('two')
  }
  res.statusCode = path === '/' ? 200 : 404
  res.setHeader('content-type', 'text/plain')
  res.end(`${req.method} ${path}\n`)
}

function express(name) {
  const express = require(name)
  const app = express()
  app.use(express.json())
  const api = express.Router({ mergeParams: true })
  api.get('/users/:id', (req, res) => res.json({ ...req.params }))
  api.get('/throws', () => {
    throw Object.assign(new Error('thrown'), { status: 418 })
  })
  app.use('/api/:version', api)
  app.post('/echo', (req, res) => res.json(req.body))
  return http.createServer(app)
}

const servers = {
  http: () => http.createServer(handle),
  https: () => require('node:https').createServer(tls(), handle),
  http2: () => require('node:http2').createServer(handle),
  http2s: () => require('node:http2').createSecureServer(tls(), handle),
  express: () => express('express'),
  express4: () => express('express4'),
  /** Upgrades, decides on `Expect: 100-continue` itself, and passes requests on to a server that does not listen. */
  special() {
    const inner = http.createServer(handle)
    const server = http.createServer((req, res) => inner.emit('request', req, res))
    server.on('upgrade', (_req, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\nupgraded'))
    server.on('checkContinue', (req, res) => {
      if (req.url === '/refused') {
        res.statusCode = 417
        return res.end('no')
      }
      res.writeContinue()
      server.emit('request', req, res)
    })
    return server
  },
  /** The app has a `plimsoll()` of its own. */
  joined() {
    const app = require('express')()
    app.use(require('../../..')({ name: 'named-by-the-app' }))
    app.get('/users/:id', (req, res) => res.json(req.params))
    return http.createServer(app)
  }
}

const server = servers[kind]().listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`))
// No connection may end by time while a busy machine runs the test.
server.keepAliveTimeout = 600_000
