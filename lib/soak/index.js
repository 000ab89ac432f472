'use strict'

/*
 * `plimsoll.soak(app, options)`: does the app leak memory with its requests? It runs in a process of its own, and this
 * process sends the load.
 */

const { existsSync, statSync } = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')
const { native, reason } = require('../core/addon.js')
const { Server } = require('./app-process.js')
const { SoakError } = require('./error.js')
const { gather } = require('./evidence.js')
const { Load } = require('./load.js')
const { appOf, settingsOf } = require('./options.js')
const { Rounds } = require('./rounds.js')
const { routesFor } = require('./routes.js')

const NO_MALLOC = "native memory is not measured: the C library's malloc does not report it"

const UNDECIDED =
  'not decided: the growth is too close to the bound, still bends, or differs from block to block. More rounds or larger blocks may decide'

/** The verdict with its figures. `toString()` formats it as text. */
class SoakResult {
  constructor(values) {
    Object.assign(this, values)
  }

  toString() {
    return native.soakText(JSON.stringify(this), 100, false)
  }
}

/** Rejects at once if the call is wrong. */
async function soak(app, given) {
  const settings = settingsOf(given)
  return run(appOf(app, settings.cwd), settings, () => {})
}

/** `report` is called at each step: `{ phase, route, round, rounds }`. */
async function run(app, settings, report) {
  if (native === null) throw new SoakError(`needs the addon: ${reason}`)
  const file = resolved(app)
  const began = performance.now()
  const server = new Server(file, settings)
  let load = null
  try {
    report({ phase: 'starting' })
    const target = await server.started()
    const { routes, notes } = await routesFor(settings, server)
    const driven = routes.filter(route => route.hold + route.idle === 0)
    load = new Load(target, { ...settings, token: server.token })
    await server.during(load.begin(routes))
    const rounds = new Rounds(server, load, settings, report)
    await rounds.warmUp(driven)
    const measured = await rounds.measure(driven)
    const results = []
    for (const [route, series] of measured) results.push(await resultOf(rounds, route, series, driven.length))
    return new SoakResult({
      app: seen(file),
      node: settings.node === process.execPath ? process.version : settings.node,
      verdict: worst(results.map(({ verdict }) => verdict)),
      seconds: (performance.now() - began) / 1000,
      maxBytesPerRequest: settings.max,
      notes: [...notes, ...lostBy(load), ...(target.malloc === null ? [NO_MALLOC] : [])],
      routes: results
    })
  } finally {
    load?.close()
    await server.stop()
  }
}

function resolved(app) {
  try {
    const file = createRequire(`${process.cwd()}/`).resolve(app)
    if (statSync(file).isFile()) return file
  } catch {
    // The error is thrown below.
  }
  if (existsSync(app) && statSync(app).isFile()) return app
  throw new SoakError(`there is no module ${app}`)
}

/** Relative to the working directory. */
function seen(file) {
  const relative = path.relative(process.cwd(), file)
  return relative.startsWith('..') ? file : relative
}

function lostBy({ lost }) {
  return [...lost].map(([route, count]) => `${route}: ${count} of the responses that hold keeps open have ended`)
}

async function resultOf(rounds, route, series, routes) {
  const result = {
    route: route.route,
    verdict: { over: 'failed', open: 'undecided', under: 'passed' }[series.decision],
    requests: series.total,
    rounds: series.blocks,
    requestsPerRound: route.block,
    bytesPerRequest: bytesOf(series),
    quantities: series.decided,
    sites: [],
    classes: [],
    files: [],
    notes: []
  }
  if (result.verdict === 'undecided') result.notes.push(UNDECIDED)
  if (result.verdict !== 'failed') return result
  const { alone, whole, sites, classes, files, notes } = await gather(rounds, route, series)
  Object.assign(result, { sites, classes, files, notes })
  if (routes > 1 && whole && !alone.growsAs(series)) {
    result.verdict = 'passed'
    result.notes.push(
      'it grew while the other routes ran too, but not alone: memory that they share moves between them'
    )
  }
  return result
}

/**
 * Bytes of any kind for each request. Most external memory is malloc's, so only the larger of the two counts, if it is
 * above its bound.
 */
function bytesOf({ decided }) {
  const { heap, external, malloc } = decided
  const beside = [external, malloc]
    .filter(each => each?.low > each?.bound)
    .sort((a, b) => b.perRequest - a.perRequest)[0]
  const sum = of => heap[of] + (beside?.[of] ?? 0)
  return { value: sum('perRequest'), low: sum('low'), high: sum('high') }
}

function worst(verdicts) {
  return ['failed', 'undecided'].find(verdict => verdicts.includes(verdict)) ?? 'passed'
}

module.exports = { soak, run }
