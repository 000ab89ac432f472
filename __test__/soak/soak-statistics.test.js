'use strict'

// The verdict as a property of many runs: a route that leaks is found, with its size, and no other is accused. The app's
// process is simulated. Its heap has noise, drift after the start, caches that fill, tables that double, memory that two
// routes share, and things that go a little later than their request. Everything else is the code of a real run.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { Rounds } = require('../../lib/soak/rounds.js')

const SESSIONS = Number(process.env.PLIMSOLL_SESSIONS ?? 150)
const SETTINGS = { max: null, requests: null, rounds: 60, warmup: 500, settleMs: 0 }

/** mulberry32. */
function generator(seed) {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  return { next, normal, between: (low, high) => low + (high - low) * next() }
}

/** What a route retains after a number of its requests, in bytes. */
const SHAPES = {
  nothing: () => () => 0,
  little: random => {
    const each = random.between(0, 4)
    return requests => each * requests
  },
  cache: random => {
    const [entries, bytes] = [random.between(50, 2200), random.between(60, 5000)]
    return requests => bytes * Math.min(requests, entries)
  },
  saturating: random => {
    const [scale, bytes] = [random.between(100, 500), random.between(1e4, 2e6)]
    return requests => bytes * (1 - Math.exp(-requests / scale))
  },
  table: random => {
    const most = random.between(200, 2200)
    return requests => 2 ** Math.floor(Math.log2(Math.max(1, Math.min(requests, most)))) * 40
  },
  leak: random => {
    const each = 2 ** random.between(6.5, 16)
    return Object.assign(requests => each * requests, { each })
  }
}

/** The heap of an app whose routes have these shapes. */
function simulated(random, shapes) {
  const served = shapes.map(() => 0)
  // Autocorrelated, and steps that come back.
  const [size, memory] = [random.between(20, 400), random.between(0, 0.9)]
  const drift = { bytes: random.between(0, 60_000), over: random.between(50, 400) }
  // What two routes put into each other's place.
  const shared = random.next() < 0.2
  let noise = 0
  let total = 0
  let later = 0
  const late = random.next() < 0.2 ? random.between(100, 2000) : 0
  let holder = 0
  const routes = shapes.map((_, i) => ({ route: `GET /${i}`, requests: null, at: i }))
  const load = {
    open: 4,
    async send({ at }, requests) {
      served[at] += requests
      total += requests
      later = late * Math.min(requests, 50)
      holder = at
    },
    flush: async () => {}
  }
  const server = {
    during: promise => promise,
    async ask(question, detail) {
      if (question !== 'figures') return undefined
      if (detail.settleMs > 1000) later = 0
      noise = memory * noise + size * random.normal()
      const retained = shapes.reduce((sum, shape, at) => sum + shape(served[at]), 0)
      const drifted = drift.bytes * (1 - Math.exp(-total / drift.over))
      const moved = shared && holder % 2 === 0 ? 200_000 : 0
      const heap = Math.round(20e6 + retained + drifted + moved + noise + later)
      const counts = { descriptors: 20, sockets: 4, timers: 2, listeners: 30, retained: {}, watched: {} }
      return { heap, external: 1e6, malloc: null, ...counts }
    }
  }
  return { routes, rounds: new Rounds(server, load, SETTINGS, () => {}), served, sharedMoves: shared }
}

async function session(seed) {
  const random = generator(seed)
  const healthy = ['nothing', 'little', 'cache', 'saturating', 'table']
  const count = 1 + Math.floor(random.between(0, 12))
  const leaks = random.next() < 0.5 ? 1 + Math.floor(random.between(0, 2.99)) : 0
  const kinds = Array.from({ length: count }, (_, at) =>
    at < leaks ? 'leak' : healthy[Math.floor(random.between(0, healthy.length))]
  ).sort(() => random.next() - 0.5)
  const shapes = kinds.map(kind => SHAPES[kind](random))
  const { routes, rounds, served } = simulated(random, shapes)
  await rounds.warmUp(routes)
  const found = await rounds.measure(routes)
  const rows = routes.map((route, at) => ({ kind: kinds[at], each: shapes[at].each, ...found.get(route) }))
  return { seed, rows, requests: served.reduce((sum, each) => sum + each, 0) }
}

test(`in ${SESSIONS} simulated runs, routes that leak fail with their size, and others do not`, async () => {
  const missed = []
  const accused = []
  const undecided = []
  const sizes = []
  let [leaks, healthy] = [0, 0]
  for (let seed = 1; seed <= SESSIONS; seed++) {
    const { rows } = await session(seed)
    for (const { kind, each, series } of rows) {
      const { decision } = series
      const said = `${seed}: ${kind} ${decision}`
      if (decision === 'open') undecided.push(said)
      if (kind === 'leak') {
        leaks += 1
        if (decision !== 'over') missed.push(said)
        else sizes.push(series.decided.heap.perRequest / each - 1)
      } else {
        healthy += 1
        if (decision === 'over') accused.push(said)
      }
    }
  }
  assert.ok(leaks > SESSIONS / 2 && healthy > 3 * SESSIONS, `${leaks} leaks, ${healthy} healthy routes`)
  const all = { leaks, healthy, missed, accused, undecided: undecided.length }
  // Of 1,000 healthy routes one may be accused, of 100 leaks one may be missed.
  assert.ok(accused.length <= Math.ceil(healthy / 1000), JSON.stringify(all))
  assert.ok(missed.length <= Math.ceil(leaks / 100), JSON.stringify(all))
  assert.ok(undecided.length <= Math.ceil((leaks + healthy) / 100), JSON.stringify(all))
  const wrong = sizes.filter(error => Math.abs(error) > 0.1)
  assert.ok(wrong.length <= sizes.length / 20, wrong.join())
})

test('routes without growth share their blocks', async () => {
  const random = generator(7)
  const count = 18
  const { routes, rounds, served } = simulated(
    random,
    Array.from({ length: count }, () => SHAPES.nothing(random))
  )
  await rounds.warmUp(routes)
  const found = await rounds.measure(routes)
  const blocks = found.get(routes[0]).series.blocks
  assert.ok(routes.every(route => found.get(route).together === count && found.get(route).series.decision === 'under'))
  assert.ok(blocks < 25, `${blocks} blocks for all`)
  assert.ok(served.every(each => each === served[0]))
})
