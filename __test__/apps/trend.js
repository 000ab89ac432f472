'use strict'

/* Retains a little of each request, or not, on request: on the heap, in Buffers, in bounded caches. */

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const LRU_ENTRIES = 300
const MAP_ENTRIES = 4_000

let leaks = process.argv[2] ?? 'nothing'
let kept = []
const lru = new Map()
const map = new Map()
let number = 0

const app = express()
app.use(plimsoll(process.argv[3] ? { leaks: JSON.parse(process.argv[3]) } : undefined))
app.get('/users/:id', async (_req, res) => {
  await null
  number++
  // 125 pointers and a header: 1,016 bytes.
  if (leaks === 'heap') kept.push(new Array(125).fill(number))
  if (leaks === 'external') kept.push(Buffer.allocUnsafeSlow(16_384))
  if (leaks === 'nothing') {
    lru.set(number, new Array(125).fill(number))
    if (lru.size > LRU_ENTRIES) lru.delete(lru.keys().next().value)
    if (map.size < MAP_ENTRIES) map.set(`key ${number}`, number)
  }
  res.json({ rows: Array.from({ length: 20 }, (_, i) => ({ i })) })
})

const heard = []
plimsoll.on('finding', finding => heard.push(finding))
listen(app, {
  leak: what => {
    leaks = what
  },
  fix: () => {
    leaks = 'nothing'
    kept = []
  },
  gc: () => {
    global.gc()
    return process.memoryUsage().heapUsed
  },
  metrics: () => plimsoll.metrics.text(),
  heard: () => heard
})
