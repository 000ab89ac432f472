'use strict'

/* Express apps of both versions whose routes are observed, and their handlers. */

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const createError = require('http-errors')
const { seen: internalErrors } = require('../../lib/core/internal-errors')
const { begin } = require('../../lib/request/lifecycle')
const { observe, current } = require('../../lib/express/route-tracker')

const versions = [
  { version: 4, express: require('express4') },
  { version: 5, express: require('express') }
]

const ok = (_req, res) => res.end('ok')
const pass = (_req, _res, next) => next()
const later = (_req, res) => setTimeout(() => res.end('ok'), 5)
const soon = async (_req, res) => {
  await new Promise(resolve => setImmediate(resolve))
  res.end('ok')
}
const fail = (_req, _res, next) => next(new Error('deliberate'))
const fail404 = (_req, _res, next) => next(createError(404))
const explode = () => {
  throw new Error('deliberate')
}
const answerError = (_error, _req, res, _next) => res.status(418).end()
const recover = (_error, _req, _res, next) => next()
const notFound = (_req, res) => res.status(404).end('nothing here')

/** Only the part of plimsoll() that concerns routes. */
function tracker() {
  const ended = []
  const told = []
  function track(req, res, next) {
    observe(begin(req, res), (_life, entry) => told.push(entry.label))
    res.once('close', () => ended.push(current(req)))
    next()
  }
  return { track, ended, told }
}

async function listen(t, handler) {
  const server = http.createServer(handler).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.after(() => server.closeAllConnections())
  t.after(() => server.close())
  const { port } = server.address()
  return {
    server,
    fetch: (target, method = 'GET') =>
      new Promise((resolve, reject) => {
        const req = http.request({ port, path: target, method, agent: false }, res => {
          let body = ''
          res.setEncoding('utf8')
          res.on('data', chunk => {
            body += chunk
          })
          res.on('end', () => resolve({ status: res.statusCode, body, headers: res.headers }))
        })
        req.on('error', reject).end()
      })
  }
}

async function until(condition) {
  for (let turn = 0; turn < 1000 && !condition(); turn++) await new Promise(resolve => setImmediate(resolve))
  assert.ok(condition(), 'it never happened')
}

// Otherwise Express prints errors that reach its own last handler.
const quiet = app => app.set('env', 'test')

/** A copy of Express with an unmodified Layer prototype. */
function freshCopy(name) {
  const cached = { ...require.cache }
  for (const file of Object.keys(require.cache)) if (/express4?\/|router\//.test(file)) delete require.cache[file]
  const copy = require(name)
  Object.assign(require.cache, cached)
  return copy
}

/**
 * Checks the labels of `cases`. Each has a name, the app, the request (a path, or [method, path]), the label, and
 * further pairs on the same server. `own`: the app itself observes.
 */
function labelled({ version, express }, cases) {
  const other = versions.find(each => each.express !== express).express
  for (const { name, only, own, build, expect } of cases) {
    test(name, { skip: only && only !== version }, async t => {
      const { track, ended } = tracker()
      const app = quiet(express())
      if (!own) app.use(track)
      build({ app, express, other, track })
      const before = internalErrors.count
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
      assert.equal(internalErrors.count, before, internalErrors.last)
    })
  }
}

module.exports = {
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
  quiet,
  freshCopy,
  labelled
}
