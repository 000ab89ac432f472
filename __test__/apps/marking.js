'use strict'

/*
 * Allocates in ticks. Asks V8 for concurrent markings, as often as requested, and waits for the collection at the end
 * of each.
 */

const v8 = require('node:v8')
const plimsoll = require('../..')
const { native } = require('../../lib/core/addon.js')

plimsoll()

/** The fewest ticks between two requests for a marking. */
const TICKS_APART = 100
const kept = []
const state = { ticks: 0, asked: 0, answered: 0, external: [] }

const tick = () => new Promise(resolve => setImmediate(resolve))
const majors = () => plimsoll.stats().gc['mark-sweep-compact']?.count ?? 0

/** Objects that die young, and a few that stay for a while. */
function allocate() {
  const young = Array.from({ length: 5000 }, (_, i) => ({ i, before: [i] }))
  kept[state.ticks % 64] = young.slice(0, 16)
  state.ticks++
}

/** `questions`: the number of markings. Without it, runs this number of ticks. */
async function run({ questions, ticks }) {
  while (questions > 0 ? state.answered < questions : state.ticks < ticks) {
    const [before, end] = [majors(), state.ticks + TICKS_APART]
    if (questions > 0) {
      state.external.push(native.startMarking())
      state.asked++
    }
    while (state.ticks < end || (questions > 0 && majors() === before)) {
      allocate()
      await tick()
    }
    state.answered++
  }
  return { ...state, majors: majors(), newSpace: newSpace() }
}

/** Far more often than in any program: V8's count of external memory, before and after. */
function ask(times) {
  global.gc()
  const first = native.startMarking()
  let last = first
  for (let i = 1; i < times; i++) last = native.startMarking()
  return { first, last, majors: majors(), ...figures() }
}

/** Buffers without references: V8 collects them when they exceed its limit for external memory. */
async function buffers(count) {
  let most = 0
  for (let i = 0; i < count; i++) {
    Buffer.allocUnsafeSlow(1 << 20)
    most = Math.max(most, process.memoryUsage().external)
    if (i % 8 === 0) await tick()
  }
  return most
}

function figures() {
  const { heap } = plimsoll.stats()
  return { external: heap.externalBytes, seen: heap.liveHistory.map(live => live.externalBytes), newSpace: newSpace() }
}

function newSpace() {
  return v8.getHeapSpaceStatistics().find(space => space.space_name === 'new_space').space_size
}

const questions = { run, ask, buffers }
process.on('message', async ({ question, detail }) => {
  process.send({ topic: question, value: await questions[question](detail) })
})
process.on('disconnect', () => process.exit())
process.send({ topic: 'listening', port: 0 })
