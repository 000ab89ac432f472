'use strict'

/*
 * Metrics of a process whose app has no route for them: at a path in front of the app, or at a port of the loopback
 * interface. The server of the port does not keep the process alive.
 */

const http = require('node:http')
const { isMainThread } = require('node:worker_threads')

const HOST = '127.0.0.1'
const PATH = '/metrics'
/** All processes of a service have one port. Another one takes it over when the one that serves it ends. */
const RETRY_MS = 5000

/** Servers whose requests are not the app's. */
const own = new WeakSet()

/** Middleware that answers at a path, with `respond(req, res, next)`. */
function atPath(path, respond, label) {
  return function plimsollMetricsPath(req, res, next) {
    if (!isRead(req) || pathOf(req) !== path) return next()
    label(req, path)
    respond(req, res, error => fail(res, error))
  }
}

/** Serves the metrics at a port. `warn(text)` is called if that is not possible. */
function atPort(port, respond, warn) {
  if (!isMainThread) return
  const server = http.createServer((req, res) => {
    if (isRead(req) && pathOf(req) === PATH) return respond(req, res, error => fail(res, error))
    res.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end(`metrics are at ${PATH}\n`)
  })
  own.add(server)
  let warned = false
  server.on('error', error => {
    // A process that was forked shares the port with its siblings: one of them serves the metrics of all.
    const shared = error.code === 'EADDRINUSE' && process.channel !== undefined
    if (!shared && !warned) {
      warned = true
      warn(`metrics cannot be served at ${HOST}:${port}: ${error.message}`)
    }
    setTimeout(listen, RETRY_MS).unref()
  })
  server.on('connection', socket => socket.unref())
  listen()

  function listen() {
    // `exclusive`: a worker of a cluster must not ask its primary for it.
    server.listen({ port, host: HOST, exclusive: true }).unref()
  }
}

function isRead({ method }) {
  return method === 'GET' || method === 'HEAD'
}

function pathOf({ url }) {
  return String(url).split('?', 1)[0]
}

function fail(res, error) {
  if (res.headersSent) return res.destroy()
  res.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' }).end(`plimsoll: no metrics: ${error?.message}\n`)
}

module.exports = { atPath, atPort, own }
