'use strict'

/* Runs a twin of the corpus under its load with Plimsoll, until there is a finding. */

const { join } = require('node:path')
const { setTimeout: pause } = require('node:timers/promises')
const corpus = require('../../corpus')

const SETUP = join(__dirname, 'plimsoll.js')
const ROOT = join(__dirname, '..', '..')
/**
 * A finding of this kind is right for every leak, besides the kinds that the app declares. Its line must be one of these
 * marked lines or an allocation. The finding names a function, or its caller if V8 has inlined the function.
 */
const ANY_LEAK = { leak: ['leak', 'function', 'handler', 'caller'] }
/** After this number, the loop pauses between bursts. A request counts as retained only five seconds after its end. */
const REQUESTS = 1500
/** A healthy app gets `MORE` times the requests that its leaky twin needed, and at least `HEALTHY_REQUESTS`. */
const MORE = 2
const HEALTHY_REQUESTS = 400
/** Before the first round. */
const PINGS = 1500
/** Requests between two polls, but at most a tenth of the app's load. Apps that retain much per request have a small one. */
const BURST = 200
/**
 * Requests between two polls when there is a finding, but not enough. They are few, because an app may run out of
 * descriptors, and because writing a large heap takes minutes.
 */
const FEW = 20
const TENTH = 1 / 10
/** At most this part of the time is spent in forced collections. With a heap of a gigabyte, one takes a second. */
const COLLECTING = 1 / 4
/** Between polls when only time is needed. Plimsoll updates the trend twice a second and takes a profile every second. */
const PAUSE_MS = 400
const DEADLINE_MS = 60_000

/**
 * Runs one twin under load. Resolves to `{ findings, found, requests, ms, rounds, internalErrors, output }`. `found` is
 * the number of requests and milliseconds until the first right finding, or `null`.
 *
 * - A leaky twin runs until there is a right finding and `enough(findings)` is true.
 * - A healthy twin runs at least for the requests and the time that its leaky twin needed (`atLeast`).
 * - With `rounds`, both send at least the whole load of the app, and measure the memory after each round.
 */
async function run(
  app,
  twin,
  { atLeast = { requests: 0, ms: 0 }, rounds = 0, deadlineMs = DEADLINE_MS, enough = () => true, ...options } = {}
) {
  const server = await corpus.start(app.name, twin, { setup: SETUP, cwd: ROOT, ...options })
  const burst = Math.min(BURST, app.load.requests * TENTH)
  const few = Math.min(FEW, burst * TENTH)
  const whole = rounds > 0 ? app.load.requests : 0
  const round = whole / rounds
  const least = twin === 'leaky' ? whole : Math.max(whole, HEALTHY_REQUESTS, MORE * atLeast.requests)
  const begun = Date.now()
  const seen = []
  let found = null
  let collectAt = 0
  try {
    if (rounds > 0) await server.warm(PINGS)
    for (;;) {
      const sent = server.load.sent
      const toRound = sent < whole ? (seen.length + 1) * round - sent : Number.POSITIVE_INFINITY
      await server.send(Math.ceil(Math.min(20 + sent, found !== null && sent >= least ? few : burst, toRound)))
      const requests = server.load.sent
      // V8 would collect by itself under more load.
      if (requests >= (seen.length + 1) * round && requests <= whole) {
        seen.push({ requests, ...(await server.ask('memory')) })
      } else if (performance.now() >= collectAt) {
        const asked = performance.now()
        await server.ask('collect')
        collectAt = asked + (performance.now() - asked) / COLLECTING
      }
      const stats = await server.ask('stats')
      const findings = stats.findings.filter(({ kind }) => kind !== 'heap-limit')
      const ms = Date.now() - begun
      const fitting = findings.filter(finding => fits(app, finding))
      if (found === null && fitting.length > 0) found = { requests, ms }
      const done = twin === 'leaky' ? !findable(app) || (found !== null && enough(findings)) : ms >= atLeast.ms
      if ((requests >= least && done) || ms > deadlineMs) {
        return {
          findings,
          found,
          requests,
          ms,
          rounds: seen,
          internalErrors: stats.faults,
          output: server.output()
        }
      }
      if (requests >= Math.max(least, REQUESTS)) await pause(PAUSE_MS)
    }
  } finally {
    await server.stop()
  }
}

/** For each kind of finding, the markers of the lines that it may name. */
function kinds({ expected }) {
  const declared = Object.entries(expected.kinds).map(([kind, place]) => [kind, [place]])
  return { ...Object.fromEntries(declared), ...(expected.leak ? ANY_LEAK : {}) }
}

/** Whether Plimsoll can find the leak or waste of the app. */
function findable(app) {
  return Object.keys(kinds(app)).length > 0
}

/** Whether a finding has an expected kind, route and line. */
function fits(app, { kind, route, origin }) {
  const markers = kinds(app)[kind]
  if (markers === undefined || route !== app.route) return false
  const { places, allocations } = app.expected
  const lines = [...markers.map(marker => places[marker]), ...(kind in app.expected.kinds ? [] : allocations)]
  return lines.some(line => {
    const at = `${join('corpus', 'apps', `${app.name}.js`)}:${line}`
    return origin === at || origin?.startsWith(`${at}:`) === true
  })
}

/** Whether a finding accuses a healthy app, or another route than the leaking one. A finding without a route does not. */
function isWrong(app, twin, { route }) {
  return twin === 'healthy' || (route !== null && route !== app.route)
}

module.exports = { run, fits, findable, isWrong }
