'use strict'

/* Handlers that allocate after promises, on shared sockets, in callbacks that throw. `ASYNC` is the option as JSON. */

const { once } = require('node:events')
const net = require('node:net')
const { setTimeout: sleep } = require('node:timers/promises')
const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const OBJECT_BYTES = 6 * 8
let held

function allocate(count) {
  let chain = null
  for (let i = 0; i < count; i++) chain = { a: i, b: i, before: chain }
  held = chain
}

const echo = net.createServer(socket => socket.pipe(socket)).listen(0, '127.0.0.1')
const refs = []
const usages = {}
let shared = null
let expected = 0

process.on('uncaughtException', error => {
  if (error.message !== 'expected') throw error
  expected += 1
})

const app = express()
app.use(plimsoll(process.env.ASYNC === undefined ? {} : { async: JSON.parse(process.env.ASYNC) }))
app.get('/awaits', async (_req, res) => {
  await null
  allocate(20_000)
  res.json({ ok: 1 })
})
app.get('/slow', async (_req, res) => {
  await sleep(3000)
  allocate(20_000)
  res.json({ ok: 1 })
})
app.use('/behind', (_req, _res, next) => setImmediate(next))
app.get('/behind', (_req, res) => {
  allocate(20_000)
  res.json({ ok: 1 })
})
app.get('/buffers', async (req, res) => {
  held = Buffer.alloc(2 ** 20, 1)
  await null
  held = [held, Buffer.alloc(2 ** 20, 1)]
  usages.buffers = plimsoll.usage(req)
  res.send(Buffer.alloc(50_000))
})
// A timer that outlives its request, like a pool's.
app.get('/lasting', (req, res) => {
  refs.push(new WeakRef(req))
  setInterval(() => allocate(100), 20).unref()
  res.json({ ok: 1 })
})
app.get('/throws', (_req, res) => {
  setTimeout(() => {
    allocate(1000)
    res.json({ ok: 1 })
    throw new Error('expected')
  }, 1)
})
/** Resolves for both of two callers, when the second one has come. */
const waiting = []
function both() {
  return new Promise(resolve => {
    waiting.push(resolve)
    if (waiting.length === 2) for (const go of waiting.splice(0)) go()
  })
}
// Both write before an answer comes, so it is unknown whose it is. The following answers have one owner each again.
app.get('/shared/:name', async (req, res) => {
  const { name } = req.params
  const socket = shared
  await both()
  await new Promise(resolve => {
    socket.on('data', function listen(chunk) {
      if (!String(chunk).includes(name)) return
      socket.off('data', listen)
      if (name === 'b') allocate(50_000)
      resolve()
    })
    socket.write(name)
  })
  usages[name] = plimsoll.usage(req)
  res.json({ ok: 1 })
})

once(echo, 'listening').then(async () => {
  shared = net.connect(echo.address().port, '127.0.0.1')
  await once(shared, 'connect')
  listen(app, {
    held: () => typeof held,
    bytes: count => count * OBJECT_BYTES,
    expected: () => expected,
    usages: () => usages,
    alive: () => {
      for (let i = 0; i < 4; i++) global.gc()
      return refs.filter(ref => ref.deref() !== undefined).length
    }
  })
})
