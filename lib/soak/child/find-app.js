'use strict'

/*
 * Finds the server of the app that runs as this process's main module: the first HTTP server that listens, or one that
 * is created from what the module exports.
 */

const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const { setTimeout: pause } = require('node:timers/promises')
const { pathToFileURL } = require('node:url')
const describe = require('../../core/describe.js')
const { intercept } = require('../../core/http-servers.js')

/** An app may be exported, and later listen by itself, for example when its database is connected. */
const GRACE_MS = 400

const WANTED =
  'an Express app, a function (req, res), an http.Server, or a function or promise that returns one, as module.exports, as the default export or ' +
  'as `app`; or an app that listens by itself'

/**
 * `ready`: from then on the main module may be imported. Resolves to `{ server, app }` when the server listens. `app`
 * is what it was created from, if known.
 */
async function find(startMs, ready) {
  let exports
  const late = new Promise((_, reject) => {
    const fail = how => reject(expected(`${how}, and it exports ${shown(exports)}. Expected: ${WANTED}`))
    setTimeout(() => fail(`it opened no port within ${startMs} ms`), startMs).unref()
    process.once('beforeExit', () => fail('it ended without listening'))
  })
  const listening = firstServer().then(server => ({ server, app: null }))
  await ready
  // After the first tick of the main module.
  await new Promise(setImmediate)
  // An exception ends the process, with its own message.
  const evaluated = exported().then(
    async value => {
      exports = value
      const app = pick(value)
      if (app === null) return listening
      return (await Promise.race([listening, pause(GRACE_MS)])) ?? serve(app, listening)
    },
    () => listening
  )
  return Promise.race([listening, evaluated, late])
}

function expected(message) {
  return Object.assign(new Error(message), { expected: true })
}

/** Resolves to the first server of node:http or https that listens. */
function firstServer() {
  return new Promise(resolve => {
    const stop = intercept(['listening'], (server, args, emit) => {
      if (server instanceof http.Server || server instanceof https.Server) {
        stop()
        resolve(server)
      }
      return Reflect.apply(emit, server, args)
    })
  })
}

/** What the main module exports, once it is evaluated. */
async function exported() {
  if (process.mainModule !== undefined) return process.mainModule.exports
  return import(pathToFileURL(process.argv[1]))
}

/** The part of a module's exports that can be served, or null. */
function pick(value) {
  if (value === undefined || value === null) return null
  const candidates = [value, value.default, value.app, value.default?.default, value.default?.app, value.server]
  return candidates.find(isServable) ?? null
}

function isServable(value) {
  return typeof value === 'function' || value instanceof net.Server || typeof value?.then === 'function'
}

async function serve(value, listening) {
  let app = await value
  // A request listener takes two arguments, and an Express app three. A function with fewer is a factory.
  if (typeof app === 'function' && app.length < 2) app = await app()
  // A function that starts the app.
  if (app === undefined) return listening
  app = pick(app)
  if (app === null || typeof app.then === 'function' || (typeof app === 'function' && app.length < 2))
    throw expected(`its export returned ${shown(app)}. Expected: ${WANTED}`)
  const server = app instanceof net.Server ? app : http.createServer(app)
  if (server.listening) return { server, app: null }
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  return { server, app: app instanceof net.Server ? null : app }
}

function shown(value) {
  if (value === undefined) return 'nothing'
  if (typeof value === 'function') return `a function of ${value.length} arguments`
  if (typeof value !== 'object' || value === null) return `a ${typeof value}`
  let names
  try {
    names = Object.keys(value)
  } catch {
    return describe.shown(value)
  }
  return names.length === 0 ? 'nothing' : `an object with ${names.slice(0, 5).join(', ')}`
}

module.exports = { find }
