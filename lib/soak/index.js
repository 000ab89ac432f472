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
  report({ phase: 'starting' })
  const { routes, results, notes } = await within(
    file,
    settings,
    null,
    async ({ server, target, load, routes, notes }) => {
      const driven = routes.filter(isDriven)
      const rounds = new Rounds(server, load, settings, report)
      await rounds.warmUp(driven)
      const measured = await rounds.measure(driven)
      const results = driven.map(route => resultOf(route, measured.get(route)))
      return {
        routes,
        results,
        notes: [...notes, ...lostBy(load), ...(target.malloc === null ? [NO_MALLOC] : [])]
      }
    }
  )
  const verdicts = new Map(results.map(({ route, verdict }) => [route, verdict]))
  const failed = routes.filter(route => isDriven(route) && verdicts.get(route.route) === 'failed')
  const alike = areAlike(results)
  if (failed.length > 0 && settings.evidence) {
    report({ phase: 'starting again' })
    const explained = alike ? failed.slice(0, 1) : failed
    const again = work => within(file, settings, { routes, notes: [] }, work)
    notes.push(...(await explain(again, settings, report, explained, results, alike)))
  }
  return new SoakResult({
    app: seen(file),
    node: settings.node === process.execPath ? process.version : settings.node,
    verdict: worst(results.map(({ verdict }) => verdict)),
    seconds: (performance.now() - began) / 1000,
    maxBytesPerRequest: settings.max,
    notes,
    routes: results
  })
}

function isDriven({ hold, idle }) {
  return hold + idle === 0
}

/** Calls `work` with the app in a process of its own, and its load. `known`: the routes, if they are known. */
async function within(file, settings, known, work) {
  const server = new Server(file, settings)
  let load = null
  try {
    const target = await server.started()
    load = new Load(target, { ...settings, token: server.token })
    const { routes, notes } = known ?? (await routesFor(settings, server, load))
    await server.during(load.begin(routes))
    return await work({ server, target, load, routes, notes })
  } finally {
    load?.close()
    await server.stop()
  }
}

/** Adds evidence to the results of routes that failed. Returns notes. */
async function explain(again, settings, report, failed, results, alike) {
  try {
    return await again(async ({ server, load }) => {
      const rounds = new Rounds(server, load, settings, report)
      for (const route of failed) {
        await rounds.warm(route)
        const result = results.find(each => each.route === route.route)
        const { notes, ...evidence } = await gather(rounds, route, result.quantities)
        Object.assign(result, evidence)
        result.notes.push(...notes)
        if (server.ended) break
      }
      if (!alike || server.ended) return []
      for (const { notes } of results.slice(1)) notes.push(`as ${results[0].route}`)
      return [await sharedBy(server, results)]
    })
  } catch (error) {
    if (!(error instanceof SoakError)) throw error
    return [`no evidence: ${error.message.replace(/^plimsoll: (soak: )?/, '')}`]
  }
}

/** Routes that share their leak. With two, it may be chance. */
const LEAST_ALIKE = 3
const ALIKE = 0.4

/** Whether each route retains about as much as the others: what retains it is shared by them. */
function areAlike(results) {
  const bytes = results.map(({ bytesPerRequest }) => bytesPerRequest.value)
  const all = results.every(({ verdict }) => verdict === 'failed')
  return all && results.length >= LEAST_ALIKE && Math.min(...bytes) >= ALIKE * Math.max(...bytes)
}

/** The middleware in which the leak of all routes is: the one that allocates it, or else those that all routes pass. */
async function sharedBy(server, results) {
  const shared = await server.ask('middleware')
  const file = place => place.replace(/:\d+$/, '')
  const origins = results.flatMap(({ sites }) => sites.map(({ origin }) => origin))
  const exact = shared.filter(({ place }) => origins.includes(place))
  const near = shared.filter(({ place }) => origins.some(origin => file(origin) === file(place)))
  const named = [exact, near, shared].find(found => found.length > 0) ?? []
  const names = named.map(({ name, place }) => (place === '' ? name : `${name} (${place})`))
  const which = names.length === 0 ? '' : `: ${names.join(', ')}`
  return `all routes alike: look in the middleware they share${which}`
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

function resultOf(route, { series, together }) {
  const verdict = { over: 'failed', open: 'undecided', under: 'passed' }[series.decision]
  const quantities = series.shareOf(together)
  return {
    route: route.route,
    verdict,
    requests: series.total,
    rounds: series.blocks,
    requestsPerRound: Math.round(series.total / Math.max(1, series.blocks)),
    bytesPerRequest: bytesOf(quantities),
    quantities,
    sites: [],
    classes: [],
    files: [],
    notes: verdict === 'undecided' ? [UNDECIDED] : []
  }
}

/**
 * Bytes of any kind for each request. Most external memory is malloc's, so only the larger of the two counts, if it is
 * above its bound.
 */
function bytesOf({ heap, external, malloc }) {
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
