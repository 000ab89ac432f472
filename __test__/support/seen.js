'use strict'

/*
 * An app with Plimsoll's middleware, driven over HTTP, and Plimsoll's state inside the process. Jest, Vitest and tests
 * of copies load it with their own `require`.
 */

const http = require('node:http')
const events = require('node:events')

/** Node's own process object, of which Jest provides a copy. */
function realProcess() {
  let Module = require('node:module')
  while (typeof Object.getPrototypeOf(Module).createRequire === 'function') Module = Object.getPrototypeOf(Module)
  return Module.createRequire(__filename)('node:process')
}

/** Serves an app whose routes have `name` in their path, and returns the results of some requests. */
async function drive(express, plimsoll, name) {
  let stack = ''
  const ended = []
  const router = express.Router()
  router.get('/users/:id', (req, res) => {
    Error.stackTraceLimit = Number.POSITIVE_INFINITY
    stack = new Error('here').stack
    Error.stackTraceLimit = 10
    req.scope.defer(() => ended.push('the scope'))
    res.json({ scope: typeof req.scope.defer, id: req.params.id })
  })
  const app = express()
  app.use(plimsoll({ name: 'copies' }))
  app.use(plimsoll.scope())
  app.use(plimsoll.limit('1kb'))
  app.use(new RegExp(`/${name}`), router)
  app.post(`/${name}/body`, express.text(), (req, res) => res.json(req.body.length))
  app.use((error, _req, res, _next) => res.status(error.status ?? 500).send(String(error.message)))
  const server = http.createServer(app)
  plimsoll.attach(server)
  plimsoll.attach(server)
  server.listen(0, '127.0.0.1')
  await events.once(server, 'listening')
  const { port } = server.address()
  try {
    // Plimsoll wraps Express's classes at an app's first request.
    await send(port, `/${name}/users/0`)
    ended.length = 0
    const answers = [
      await send(port, `/${name}/users/1`),
      await send(port, `/${name}/body`, 'x'.repeat(10)),
      await send(port, `/${name}/body`, 'x'.repeat(2000)),
      await send(port, `/${name}/body`, 'x'.repeat(10), { expect: '100-continue' })
    ]
    return {
      name,
      answers,
      ended,
      frames: stack.split('\n').length,
      /** Those of them that are Plimsoll's wrappers of Express. */
      wrappers: stack.split('\n').filter(line => /[\\/]express[\\/]route-tracker\.js/.test(line)).length,
      routes: plimsoll
        .stats()
        .routes.map(({ route }) => route)
        .filter(route => route.includes(name)),
      record: plimsoll.stats().recorder.path,
      total: plimsoll.stats().requests.total,
      listeners: Object.fromEntries(
        ['exit', 'uncaughtExceptionMonitor', 'warning'].map(event => [event, realProcess().listenerCount(event)])
      )
    }
  } finally {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
}

/** `[status, body]`. A body with an `expect` header waits for `100 Continue`. */
function send(port, path, body, headers = {}) {
  const method = body === undefined ? 'GET' : 'POST'
  const all = body === undefined ? {} : { 'content-type': 'text/plain', 'content-length': body.length, ...headers }
  return new Promise((resolve, reject) => {
    const req = http.request({ host: '127.0.0.1', port, path, method, headers: all })
    req.on('response', res => {
      let text = ''
      res.setEncoding('utf8').on('data', piece => {
        text += piece
      })
      res.on('end', () => resolve([res.statusCode, text]))
    })
    req.on('error', reject)
    if (headers.expect === undefined) req.end(body)
    else req.on('continue', () => req.end(body)).flushHeaders()
  })
}

module.exports = { drive, send }
