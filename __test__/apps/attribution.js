'use strict'

/*
 * Handlers that allocate a known amount, in synchronous code and after everything that can be awaited. Each has three
 * routes: to warm it up, alone, and among the others.
 */

const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const { setTimeout: sleep, setImmediate: immediate } = require('node:timers/promises')
const { Pool } = require('pg')
const express = require(process.env.EXPRESS ?? 'express')
const plimsoll = require('../..')
const listen = require('./support.js')

// Prevents that the allocations are optimised away.
let held
const OBJECT_BYTES = 6 * 8 // map, properties, elements, and three fields

/** Allocates `count` objects in a chain. A large array would also cost the unused rest at the end of a page. */
function allocate(count) {
  let chain = null
  for (let i = 0; i < count; i++) chain = { a: i, b: i, before: chain }
  held = chain
}

const connection = { connectionString: process.env.POSTGRES, max: 10 }
const pool = new Pool(connection)
const callbackPool = new Pool(connection)
const SQL = 'select n, n * 2 as twice from generate_series(1, 50) as n'

/** A client like those of many drivers: one socket, one line for each answer, a queue of callbacks. */
class LineClient {
  constructor(port) {
    this.waiting = []
    let text = ''
    this.socket = net.connect(port, '127.0.0.1').on('data', chunk => {
      text += chunk
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
        const line = text.slice(0, end)
        text = text.slice(end + 1)
        this.waiting.shift()(line)
      }
    })
  }

  ask(line, callback) {
    this.waiting.push(callback)
    this.socket.write(`${line}\n`)
  }
}

const echo = net.createServer(socket => socket.pipe(socket)).listen(0, '127.0.0.1')
const clients = []

/** By kind: the objects that a request allocates, and how. */
const kinds = {
  sync: [
    20_000,
    (_req, res) => {
      allocate(20_000)
      res.json({ ok: 1 })
    }
  ],
  await: [
    20_000,
    async (_req, res) => {
      for (let i = 0; i < 10; i++) {
        await null
        allocate(2000)
      }
      res.json({ ok: 1 })
    }
  ],
  timer: [
    20_000,
    (_req, res) => {
      setTimeout(() => {
        allocate(10_000)
        setTimeout(() => {
          allocate(10_000)
          res.json({ ok: 1 })
        }, 5)
      }, 5)
    }
  ],
  sleep: [
    30_000,
    async (_req, res) => {
      for (let i = 0; i < 5; i++) {
        await sleep(2 * i + 1)
        allocate(2000 + 2000 * i)
      }
      res.json({ ok: 1 })
    }
  ],
  immediate: [
    20_000,
    async (_req, res) => {
      await immediate()
      allocate(10_000)
      process.nextTick(() => {
        allocate(10_000)
        res.json({ ok: 1 })
      })
    }
  ],
  file: [
    20_000,
    (_req, res) => {
      let chunks = 0
      fs.createReadStream(process.env.FILE, { highWaterMark: 16_384 })
        .on('data', () => {
          chunks += 1
          if (chunks <= 4) allocate(5000)
        })
        .on('end', () => res.json({ chunks }))
    }
  ],
  body: [
    20_000,
    (req, res) => {
      req.once('data', () => allocate(10_000))
      req.on('end', () => {
        allocate(10_000)
        res.json({ ok: 1 })
      })
    }
  ],
  parsed: [
    20_000,
    [
      express.json(),
      (_req, res) => {
        allocate(20_000)
        res.json({ ok: 1 })
      }
    ]
  ],
  postgres: [
    20_000,
    async (_req, res) => {
      const { rows } = await pool.query(SQL)
      allocate(10_000)
      await pool.query(SQL)
      allocate(10_000)
      res.json(rows.length)
    }
  ],
  'postgres-callback': [
    20_000,
    (_req, res, next) => {
      callbackPool.query(SQL, (error, { rows } = {}) => {
        if (error) return next(error)
        allocate(10_000)
        callbackPool.query(SQL, again => {
          if (again) return next(again)
          allocate(10_000)
          res.json(rows.length)
        })
      })
    }
  ],
  callback: [
    20_000,
    (_req, res) => {
      // One request at a time, like connections of a pool.
      const client = clients.pop() ?? new LineClient(echo.address().port)
      client.ask('one', () => {
        allocate(10_000)
        client.ask('two', () => {
          allocate(10_000)
          clients.push(client)
          res.json({ ok: 1 })
        })
      })
    }
  ]
}

const app = express()
app.use(plimsoll({ async: process.env.ASYNC ? JSON.parse(process.env.ASYNC) : true }))
for (const [kind, [, handler]] of Object.entries(kinds)) {
  for (const round of ['warm', 'alone', 'mixed']) app.all(`/${round}/${kind}`, handler)
}

once(echo, 'listening').then(() =>
  listen(app, {
    held: () => typeof held,
    known: () => Object.fromEntries(Object.entries(kinds).map(([kind, [count]]) => [kind, count * OBJECT_BYTES]))
  })
)
