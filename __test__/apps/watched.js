'use strict'

/* Everything is watched. The app knows of each thing that requests create whether it is alive, without retaining it. */

process.env.NODE_ENV = 'test'

const { EventEmitter } = require('node:events')
const fs = require('node:fs')
const express = require('express')
const genericPool = require('generic-pool')
const plimsoll = require('../..')
const listen = require('./support.js')

const bus = new EventEmitter().setMaxListeners(0)
const stop = new AbortController()
const pool = genericPool.createPool(
  { create: async () => ({}), destroy: async () => {} },
  { max: Number.MAX_SAFE_INTEGER }
)
const refs = []
const kept = []

function noop() {}

const app = express()
app.use(plimsoll({ recorder: false, watch: true }))
app.use(plimsoll.scope())
plimsoll.watchListeners({ bus })
plimsoll.watchPool(pool, { grace: 10 })
app.use((req, res, next) => {
  refs.push(new WeakRef(req), new WeakRef(res))
  req.data = new Array(1000).fill(req.url)
  refs.push(new WeakRef(req.data))
  next()
})
/** Releases everything. */
app.get('/clean', async (req, res) => {
  const { scope } = req
  const made = () => req.data
  const interval = scope.use(setInterval(made, 60_000))
  const resource = scope.use(await pool.acquire(), resource => pool.release(resource))
  bus.on('event', made)
  scope.defer(() => bus.off('event', made))
  stop.signal.addEventListener('abort', made)
  scope.defer(() => stop.signal.removeEventListener('abort', made))
  // An event that only this request has.
  const done = Symbol('done')
  bus.once(done, () => {})
  bus.emit(done)
  refs.push(new WeakRef(done))
  refs.push(new WeakRef(made), new WeakRef(interval), new WeakRef(scope), new WeakRef(scope.signal))
  kept.push(resource)
  const file = fs.createReadStream(__filename)
  refs.push(new WeakRef(file))
  await scope.pipe(file, res)
})
/** Leaves behind things that do not refer to the request. The data about them must not either. */
app.get('/left', async (req, res) => {
  bus.on('left', noop)
  req.socket.on('timeout', noop)
  stop.signal.addEventListener('abort', () => {})
  setInterval(noop, 60_000).unref()
  setTimeout(noop, 60_000).unref()
  kept.push(await pool.acquire())
  const file = fs.createReadStream(__filename)
  refs.push(new WeakRef(file))
  file.pipe(res)
})
app.get('/expected', (req, res) => {
  const held = { name: 'held' }
  kept.push(held)
  plimsoll.expectCollected(held, 'what is held')
  plimsoll.expectCollected({ name: 'let go' }, 'what is let go')
  plimsoll.expectCollected(() => req, 'a function')
  res.end()
})

listen(app, {
  alive: async () => {
    for (let i = 0; i < 4; i++) {
      global.gc()
      await new Promise(setImmediate)
    }
    return { made: refs.length, alive: refs.filter(ref => ref.deref() !== undefined).length }
  }
})
