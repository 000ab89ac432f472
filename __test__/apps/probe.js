'use strict'

/*
 * An app on a V8 that the probe does not know. Arguments: `--v8=15.1.2` is the version that Node reports. `--swap=a,b`
 * swaps two figures of `v8.getHeapStatistics()`, which looks to the probe like a V8 that has swapped them.
 */

const v8 = require('node:v8')

const given = Object.fromEntries(process.argv.slice(2).map(argument => argument.slice(2).split('=')))
if (given.v8) Object.defineProperty(process, 'versions', { value: { ...process.versions, v8: given.v8 } })
const read = v8.getHeapStatistics
v8.getHeapStatistics = () => {
  const heap = read()
  const [a, b] = (given.swap ?? '').split(',')
  return a ? { ...heap, [a]: heap[b], [b]: heap[a] } : heap
}

const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const warnings = []
const log = { info() {}, warn: text => warnings.push(text), error() {} }
const app = express()
app.use(plimsoll({ name: 'probe', log, layers: true }))
app.use(plimsoll.limit('1kb'))
app.use(plimsoll.shed())
app.get('/rows/:id', function rows(_req, res) {
  res.json(Array.from({ length: 1000 }, (_, id) => ({ id })))
})
app.post('/up', express.raw({ type: () => true }), (_req, res) => res.end())
listen(app, {
  metrics: () => plimsoll.metrics.text(),
  heap: () => v8.getHeapStatistics(),
  warnings: () => warnings,
  sampler: () => {
    const { Profiler } = require('../../lib/leaks/heap-profiler.js')
    const { native } = require('../../lib/core/addon.js')
    const profiler = new Profiler()
    const majors = native.majorCollections()
    profiler.sample(1024)
    const own = profiler.trusts()
    const tree = profiler.take()
    profiler.close()
    return { own, nodes: tree.of.length, collected: native.majorCollections() - majors }
  },
  place: () => require('../../lib/core/function-info.js').definitionOf(listen)
})
