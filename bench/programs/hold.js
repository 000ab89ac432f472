'use strict'

/*
 * A server whose requests retain 2.4 MB each while they wait, with one of the packages that shed load. Arguments: the
 * name of the guard, and the wait in milliseconds. Writes JSON lines, as harness/serve.js does.
 */

const readline = require('node:readline')

const [guard, holdMs] = process.argv.slice(2)
/** The limit of the other packages: used heap, with garbage. It is four fifths of the old generation of 200 MB. */
const HEAP_USED = 160 * 2 ** 20

/** Small objects, as from a database. */
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
  // By default it checks nothing: it needs limits.
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
  // The same limits as the others, and a Retry-After of one second instead of ten.
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
    // As in Fastify. With Node's five seconds, the server could close a connection while a request is sent.
    server.keepAliveTimeout = 72_000
  }
  // So that no server outlives the benchmark.
  readline.createInterface({ input: process.stdin }).on('close', () => process.exit(0))
}

main()
