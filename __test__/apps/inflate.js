'use strict'

/* Compressed bodies with a limit that inflates them: read whole, or retained half-read. */

process.env.NODE_ENV = 'test'

const { performance } = require('node:perf_hooks')
const express = require(process.env.EXPRESS ?? 'express')
const plimsoll = require('../..')
const { native } = require('../../lib/core/addon.js')
const listen = require('./support.js')

const app = express()
app.use(plimsoll())
const read = (req, res) => {
  let length = 0
  req.on('data', piece => {
    length += piece.length
  })
  req.on('end', () => res.json({ length }))
}
app.post('/limited', plimsoll.limit({ limit: '1mb', inflate: true }), read)
app.post('/ratio', plimsoll.limit({ limit: '1gb', inflate: true }), read)
const unbounded = plimsoll.limit({ limit: '1gb', inflate: { ratio: Number.POSITIVE_INFINITY } })
app.post('/read', unbounded, read)
app.post('/body', unbounded, express.raw({ type: () => true, limit: '10mb' }), (req, res) =>
  res.json({ length: req.body.length })
)

/** Reads this many bytes, and then no more. */
const held = new Set()
app.post('/held/:bytes', unbounded, (req, res) => {
  let length = 0
  req.on('data', piece => {
    length += piece.length
    if (length < Number(req.params.bytes) || held.has(res)) return
    req.pause()
    held.add(res)
  })
  res.on('close', () => held.delete(res))
})

let loop = performance.eventLoopUtilization()
listen(app, {
  /** Bytes of the decoders of all bodies. */
  decoders: () => native.decodersInFlight(),
  held: () => held.size,
  /** A socket that is not read does not report that its client has gone. */
  release: () => {
    for (const res of held) res.req.resume()
  },
  /** Bytes that jemalloc and malloc have handed out, without V8's and Node's buffers and without garbage. */
  native: async () => {
    for (let i = 0; i < 4; i++) {
      global.gc()
      await new Promise(resolve => setImmediate(resolve))
    }
    const { jemalloc, glibc } = await plimsoll.memory()
    const buffers = process.memoryUsage().arrayBuffers
    const malloc = glibc.inUseBytes + glibc.mappedBytes - buffers
    return { jemalloc: jemalloc.allocatedBytes, malloc, rss: process.memoryUsage.rss() }
  },
  /** Milliseconds for which the event loop was busy since the last call. */
  busy: () => {
    const last = loop
    loop = performance.eventLoopUtilization()
    return performance.eventLoopUtilization(loop, last).active
  }
})
