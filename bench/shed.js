'use strict'

const http = require('node:http')
const { setTimeout: sleep } = require('node:timers/promises')
const Child = require('./harness/child')
const { grouped, table } = require('./harness/table')

const GUARDS = [
  { name: 'bare', title: 'bare Express 5' },
  { name: 'plimsoll-shed', title: '`plimsoll()` + `shed()`' },
  { name: 'overload-protection', title: '`overload-protection`' },
  { name: 'under-pressure', title: 'Fastify + `@fastify/under-pressure`' }
]

const CLIENTS = 200
const HELD_MB = 2.4
const HEAP_MB = 200
const HOLD_MS = 4000
const GARBAGE = 400
const RETRY_MS = 200
/** The server admits all requests again after 20 successful requests in a row, each on its own connection. */
const STREAK = 20
const BACK_MS = 20_000

function get(port, path, agent) {
  return new Promise(resolve => {
    const req = http.get({ host: '127.0.0.1', port, path, agent }, res => {
      res.resume()
      res.on('end', () => resolve(res.statusCode))
      res.on('error', () => resolve(0))
    })
    req.on('error', () => resolve(0))
  })
}

/** Each client sends its next request at once, or after a short pause if it was refused. */
async function load(port, seconds, child) {
  const seen = { ok: 0, refused: 0, failed: 0 }
  const agent = new http.Agent({ keepAlive: true, maxSockets: CLIENTS })
  const end = performance.now() + seconds * 1000
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      await sleep(client * 10)
      while (performance.now() < end && !child.ended) {
        const status = await get(port, '/hold', agent)
        if (status === 200) seen.ok++
        else if (status === 503) {
          seen.refused++
          await sleep(RETRY_MS / 2 + Math.random() * RETRY_MS)
        } else {
          seen.failed++
          await sleep(RETRY_MS)
        }
      }
    })
  )
  agent.destroy()
  return seen
}

/** Milliseconds until the first of `STREAK` successful requests in a row. `null` if that takes over `BACK_MS`. */
async function backAfter(port) {
  const start = performance.now()
  let first = null
  for (let streak = 0; performance.now() - start < BACK_MS; ) {
    const at = performance.now() - start
    const ok = (await get(port, '/small')) === 200
    if (ok && streak === 0) first = at
    streak = ok ? streak + 1 : 0
    if (streak === STREAK) return first
    await sleep(25)
  }
  return null
}

async function once(guard, config) {
  const args = [`--max-old-space-size=${HEAP_MB}`, require.resolve('./programs/hold.js'), guard.name, `${HOLD_MS}`]
  const child = new Child(config.node, args, { env: { NODE_ENV: 'test', ...config.env } })
  try {
    const { port } = await child.next(60, 'its port')
    let garbageRefused = 0
    for (let i = 0; i < GARBAGE; i++) if ((await get(port, '/garbage')) === 503) garbageRefused++
    const seen = await load(port, config.shedSeconds, child)
    await sleep(100)
    return { ...seen, garbageRefused, died: child.ended, backMs: child.ended ? null : await backAfter(port) }
  } finally {
    await child.end(2)
  }
}

async function run(config) {
  const rounds = []
  for (let round = 0; round < config.shedRounds; round++) {
    const measured = {}
    for (const guard of GUARDS) {
      measured[guard.name] = await once(guard, config)
      config.progress(`shed ${round + 1}/${config.shedRounds} ${guard.name}: ${JSON.stringify(measured[guard.name])}`)
    }
    rounds.push(measured)
  }
  return { rounds, seconds: config.shedSeconds }
}

function each(rounds, guard, figure) {
  return rounds.map(round => figure(round[guard.name])).join(', ')
}

function back({ died, backMs }) {
  if (died) return '-'
  return backMs === null ? `not in ${BACK_MS / 1000} s` : `${(backMs / 1000).toFixed(1)} s`
}

function render({ rounds, seconds }) {
  const head = ['server', 'died', 'served', 'refused', 'failed', 'admits all again after', 'garbage alone: refused']
  const rows = GUARDS.map(guard => [
    guard.title,
    each(rounds, guard, seen => (seen.died ? 'yes' : 'no')),
    each(rounds, guard, seen => grouped(seen.ok)),
    each(rounds, guard, seen => grouped(seen.refused)),
    each(rounds, guard, seen => grouped(seen.failed)),
    each(rounds, guard, back),
    each(rounds, guard, seen => `${seen.garbageRefused} of ${GARBAGE}`)
  ])
  return [
    `### A load that needs ${Math.round(CLIENTS * HELD_MB)} MB, with --max-old-space-size=${HEAP_MB}`,
    '',
    table(head, rows),
    '',
    `${CLIENTS} clients for ${seconds} s. Each sends its next request at once, or ${RETRY_MS / 2} to ${(3 * RETRY_MS) / 2} ms after a 503. A request ` +
      `retains ${HELD_MB} MB for ${HOLD_MS / 1000} s. Failed: the connection was closed without a response. The other packages have a limit of 160 MB of used ` +
      `heap and of 1 s of event loop delay. Garbage alone: before the load, ${GARBAGE} sequential requests that retain nothing.`
  ].join('\n')
}

module.exports = { name: 'shed', about: 'which servers survive a load that needs more than the heap', run, render }
