'use strict'

// Which figures of a block count: those right after it, or those of a moment later. The app's process is a script of
// figures here.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { Rounds } = require('../../lib/soak/rounds.js')
const { Series } = require('../../lib/soak/series.js')

const REQUESTS = 100
const route = { route: 'GET /', block: REQUESTS }

/** Heaps in KB, as they are read one after the other, after a first one of 0. Returns what was waited before each. */
function scripted(heaps, settleMs = 0) {
  const waited = []
  const left = [0, ...heaps]
  const figures = () => ({
    ...{ external: 0, malloc: null, descriptors: 9, sockets: 1, timers: 0, listeners: 5, retained: {}, watched: {} },
    heap: left.shift() * 1000
  })
  const server = {
    during: promise => promise,
    async ask(question, options) {
      if (question !== 'figures') return undefined
      waited.push(options.settleMs)
      return figures()
    }
  }
  const load = { open: 1, send: async () => {}, flush: async () => {} }
  const rounds = new Rounds(server, load, { settleMs }, () => {})
  const series = new Series([0], null)
  const block = async () => {
    await rounds.block([[route, REQUESTS]], series)
    return series.values.heap.at(-1) / 1000
  }
  return { block, waited, left }
}

test('what does not grow is not waited for', async () => {
  const { block, waited, left } = scripted([4, 3])
  assert.deepEqual([await block(), await block()], [4, 3])
  assert.deepEqual([waited, left], [[0, 0, 0], []])
})

test('what goes a little later does not count, block after block', async () => {
  const { block, waited, left } = scripted([60, 1, 62, 2, 61, 0])
  assert.deepEqual([await block(), await block(), await block()], [1, 2, 0])
  assert.deepEqual([waited.filter(ms => ms > 1000).length, left], [3, []])
})

test('what stays counts as it is after the block, and is not waited for a third time', async () => {
  // Growth during the wait belongs to no block: the next block begins with it.
  const { block, waited, left } = scripted([60, 63, 123, 123, 183, 243])
  assert.deepEqual([await block(), await block(), await block(), await block()], [60, 120, 180, 240])
  assert.deepEqual([waited.filter(ms => ms > 1000).length, left], [2, []])
})

test('a leak beside what goes later is measured by what stays', async () => {
  const { block, left } = scripted([460, 400, 860, 800, 1260, 1200])
  assert.deepEqual([await block(), await block(), await block()], [400, 800, 1200])
  assert.deepEqual(left, [])
})

test('with a longer settleMs there is no further wait', async () => {
  const { block, waited } = scripted([60, 120], 5000)
  assert.deepEqual([await block(), await block()], [60, 120])
  assert.deepEqual(waited, [5000, 5000, 5000])
})
