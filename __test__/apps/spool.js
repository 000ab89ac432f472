'use strict'

/* Uploads that are spooled to SPOOL_DIR, and moved to `?to=` if given. */

process.env.NODE_ENV = 'test'

const express = require(process.env.EXPRESS ?? 'express')
const plimsoll = require('../..')
const { descriptors } = require('../support/spool.js')
const listen = require('./support.js')

const dir = process.env.SPOOL_DIR
const seen = { begun: 0, whole: 0, errors: {} }

const app = express()
app.use((_req, _res, next) => {
  seen.begun += 1
  next()
})
app.use(plimsoll({ recorder: false }))
app.post('/', plimsoll.spool({ memory: process.env.SPOOL_MEMORY ?? '16kb', dir }), async (req, res) => {
  seen.whole += 1
  if (req.query.to) await req.body.moveTo(req.query.to)
  res.json({ size: req.body.size, descriptors: descriptors(dir).length })
})
/** Reads a body through `?streams=` streams at once, and returns the most by which native memory had grown. */
app.post('/read', plimsoll.spool({ memory: 0, dir }), async ({ body, query }, res) => {
  const nativeBytes = () => plimsoll.stats().native.allocatedBytes
  const before = nativeBytes()
  let chunks = 0
  let size = 0
  let growth = 0
  const read = async () => {
    for await (const chunk of body.stream()) {
      size += chunk.length
      if (++chunks % 500 === 0) growth = Math.max(growth, nativeBytes() - before)
    }
  }
  await Promise.all(Array.from({ length: Number(query.streams) }, read))
  res.json({ size, growth })
})
app.use((error, _req, res, _next) => {
  const { status, type, code, message } = error
  seen.errors[type ?? message] = (seen.errors[type ?? message] ?? 0) + 1
  res.status(status ?? 500).json({ type, code, message })
})

listen(app, {
  state: async () => {
    for (let i = 0; i < 3; i++) {
      global.gc?.()
      await new Promise(setImmediate)
    }
    return {
      ...seen,
      descriptors: descriptors(dir).length,
      nativeBytes: plimsoll.stats().native.allocatedBytes
    }
  }
})
