'use strict'

/*
 * A server whose requests hold 2.4 MB each while they wait, guarded by one of those that shed. In: the guard's name, and how long they
 * wait. Speaks JSON lines as harness/serve.js does.
 */

const readline = require('node:readline')

const [guard, holdMs] = process.argv.slice(2)
/** What the heap guards of others are set to: absolute, garbage included. Four fifths of the old generation's 200 MB. */
const HEAP_USED = 160 * 2 ** 20

/** Small objects, as a database returns them. */
function rows() {
  const found = []
  for (let id = 0; id < 20_000; id++) found.push({ id, name: `n${id}`, price: id * 1.5 })
  return found
}

function hold(done) {
  const held = rows()
  setTimeout(() => done({ rows: held.length }), Number(holdMs))
}

function expressApp(...middleware) {
  const app = require('express')()
  for (const each of middleware) app.use(each)
  app.get('/hold', (_req, res) => hold(body => res.json(body)))
  app.get('/garbage', (_req, res) => res.json({ rows: rows().length }))
  app.get('/small', (_req, res) => res.json({ ok: 1 }))
  return app
}

async function fastifyApp() {
  const app = require('fastify')()
  // Its default: neither the heap nor anything else is looked at unless it is given a bound.
  await app.register(require('@fastify/under-pressure'), { maxHeapUsedBytes: HEAP_USED, maxEventLoopDelay: 1000 })
  app.get('/hold', (_req, reply) => {
    hold(body => reply.send(body))
  })
  app.get('/garbage', async () => ({ rows: rows().length }))
  app.get('/small', async () => ({ ok: 1 }))
  return app
}

const APPS = {
  bare: () => expressApp(),
  'plimsoll-shed': () => {
    const plimsoll = require('../..')
    return expressApp(plimsoll(), plimsoll.shed())
  },
  // No bound on the event loop but the same as the others', and no wait of ten seconds for its clients.
  'overload-protection': () =>
    expressApp(
      require('overload-protection')('express', {
        production: true,
        maxHeapUsedBytes: HEAP_USED,
        maxEventLoopDelay: 1000,
        clientRetrySecs: 1
      })
    ),
  'under-pressure': fastifyApp
}

async function main() {
  const app = await APPS[guard]()
  const listening = port => process.stdout.write(`${JSON.stringify({ port })}\n`)
  if (guard === 'under-pressure') {
    await app.listen({ port: 0, host: '127.0.0.1' })
    listening(app.server.address().port)
  } else {
    const server = app.listen(0, '127.0.0.1', () => listening(server.address().port))
    // Fastify's own; at Node's five seconds a client may ask on a connection that is just being closed.
    server.keepAliveTimeout = 72_000
  }
  // No server outlives its bench.
  readline.createInterface({ input: process.stdin }).on('close', () => process.exit(0))
}

main()
