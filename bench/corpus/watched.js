'use strict'

/* A twin of the corpus under its load with plimsoll, until something is found. */

const { join } = require('node:path')
const { setTimeout: pause } = require('node:timers/promises')
const corpus = require('../../corpus')

const SETUP = join(__dirname, 'plimsoll.js')
const ROOT = join(__dirname, '..', '..')
/**
 * What any leak may be found as, beside the kinds that an app declares, and at which of its marked lines; or where what stays is made: a site is a
 * function, or, where V8 has inlined that, its caller.
 */
const ANY_LEAK = { leak: ['leak', 'function', 'handler', 'caller'] }
/** From so many requests on, what is retained has time to be so: five seconds. */
const REQUESTS = 1500
/** As much more than its twin took, and so many at least, is asked of a healthy app. */
const MORE = 2
const HEALTHY_REQUESTS = 400
/** Before the first round. */
const PINGS = 1500
/** The longest without a look; a tenth of the app's own load at most, which is small where a request keeps much. */
const BURST = 200
/** While there is a finding, and it is not enough: what leaks descriptors has none left at some time, and to write a heap of gigabytes takes minutes. */
const FEW = 20
const TENTH = 1 / 10
/** Of the time, at most, for collections that are forced: that of a heap of a gigabyte takes a second. */
const COLLECTING = 1 / 4
/** Between looks, once there is nothing but time to wait for: the trend is looked at twice a second, a profile taken once. */
const PAUSE_MS = 400
const DEADLINE_MS = 60_000

/**
 * Runs one twin under load: `{ findings, found, requests, ms, rounds, internalErrors, output }`, `found` being the requests and milliseconds until a finding was
 * there that fits. A leaky one until then; a healthy one for as many requests and as long as its twin took (`atLeast`). With `rounds`, both for
 * the app's whole run at least, with memory behind each round. `enough(findings)` has a leaky one go on for more than a finding that fits.
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
      // The collections are due to V8: a server under more load collects by itself.
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

/** By kind, the markers of the lines that it may name. */
function kinds({ expected }) {
  const declared = Object.entries(expected.kinds).map(([kind, place]) => [kind, [place]])
  return { ...Object.fromEntries(declared), ...(expected.leak ? ANY_LEAK : {}) }
}

/** Whether there is a kind of finding for it. */
function findable(app) {
  return Object.keys(kinds(app)).length > 0
}

/** Whether a finding is one that was expected: kind, route and line. */
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

/** Whether a finding speaks ill of an app that does no wrong, or of another route than the one at fault; some name none. */
function isWrong(app, twin, { route }) {
  return twin === 'healthy' || (route !== null && route !== app.route)
}

module.exports = { run, fits, findable, isWrong }
