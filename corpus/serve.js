'use strict'

/* The process of one twin, started by `start()` of index.js: `serve.js <file> <leaky|healthy> <express> [setup]`. */

const { readdirSync } = require('node:fs')
const { setTimeout: pause } = require('node:timers/promises')
const v8 = require('node:v8')

/** More than one: what a finalizer releases is freed by the next collection. */
const COLLECTIONS = 4
const PAUSE_MS = 10
/** As is usual behind a load balancer. After Node's default of 5 s, connections would close during a snapshot. */
const KEEP_ALIVE_MS = 65_000

const [file, twin, express, setup] = process.argv.slice(2)
const { [twin]: routes, emitters = {}, pools = [] } = require(file)

const questions = {
  /** Memory after all garbage is collected, and the number of open descriptors (from /proc, otherwise `null`). */
  async memory() {
    for (let i = 0; i < COLLECTIONS; i++) {
      await pause(PAUSE_MS)
      global.gc()
    }
    const { heapUsed, external, rss } = process.memoryUsage()
    return { heapUsed, external, rss, descriptors: descriptors() }
  },
  snapshot: path => v8.writeHeapSnapshot(path)
}

function descriptors() {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return null
  }
}

async function main() {
  const app = require(express)()
  if (setup) Object.assign(questions, await require(setup)({ app, name: file, twin, emitters, pools }))
  // A second route, which a tool must not accuse.
  app.get('/ping', (_req, res) => res.json({ pong: Array.from({ length: 50 }, (_, i) => ({ i })) }))
  await routes(app)
  app.use((error, _req, res, _next) => {
    console.error(error)
    if (!res.headersSent) res.status(500).end(error.stack)
  })
  const server = app.listen(0, '127.0.0.1', () => process.send({ topic: 'listening', value: server.address().port }))
  server.keepAliveTimeout = KEEP_ALIVE_MS
  process.on('message', async ({ question, detail }) => {
    try {
      process.send({ topic: question, value: await questions[question](detail) })
    } catch (error) {
      process.send({ topic: question, error: error.stack })
    }
  })
  process.on('disconnect', () => process.exit())
}

main()
