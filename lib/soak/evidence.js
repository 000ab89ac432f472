'use strict'

/*
 * Collects evidence for a route that grows: requests of this route alone, with V8's sampling heap profiler on, and a
 * heap snapshot before and after. It runs in a second process of the app, whose heap is small: a snapshot of what
 * thousands of requests have left takes much longer.
 */

const { join } = require('node:path')
const { native } = require('../core/addon.js')
const { message } = require('../core/describe.js')
const heap = require('../heap/read-snapshot.js')
const { SoakError } = require('./error.js')

/** The number that the statistics of allocation sites need, and some more. */
const BLOCKS = 18
/**
 * Bytes that all blocks together should retain: enough for classes to stand out, while a snapshot still takes a moment
 * only.
 */
const WANTED = 6 * 1024 * 1024
const LEAST_BLOCK = 20
/** Requests that retain much are enough sooner. */
const FEWEST = 4
const MUCH = 64 * 1024
/** Samples of the retained bytes. */
const SAMPLES = 2000
const INTERVALS = [256, 8 * 1024]
/** Snapshots of larger heaps would take minutes. */
const SNAPSHOT_BYTES = 768 * 1024 * 1024
const SNAPSHOT_MS = 600_000
/** A class is shown if at least two in a hundred requests retain one. */
const OFTEN = 0.02
const FILES = 8
const FRAMEWORK = /node_modules[\\/](?:express4?|router|connect|finalhandler)[\\/]/
/** `{ sites, classes, files, notes }`. The verdict does not need it. `decided`: the quantities of the route. */
async function gather(rounds, route, decided) {
  const found = { sites: [], classes: [], files: [], notes: [] }
  try {
    await sample(rounds, route, decided, found)
  } catch (error) {
    // The leak may have ended the process.
    if (!(error instanceof SoakError)) throw error
    found.notes.push(`no more evidence: ${textOf(error)}`)
  }
  return found
}

function textOf(error) {
  return message(error).replace(/^plimsoll: (soak: )?/, '')
}

async function sample(rounds, route, decided, found) {
  const { server, report } = rounds
  const kept = Math.max(1, ...['heap', 'external', 'malloc'].map(name => decided[name]?.perRequest ?? 0))
  const least = kept > MUCH ? FEWEST : LEAST_BLOCK
  const requests = Math.max(least, Math.min(route.block, Math.round(WANTED / BLOCKS / kept)))
  const attempt = async (what, work) => {
    try {
      return await work()
    } catch (error) {
      if (server.ended) throw server.ended
      found.notes.push(`${what}: ${textOf(error)}`)
      return undefined
    }
  }
  const snapshot = name =>
    attempt('no classes', async () => {
      report({ phase: 'taking a heap snapshot', route: route.route })
      const { heap } = await rounds.figures()
      if (heap > SNAPSHOT_BYTES) throw new Error('the heap is too large for a snapshot')
      return { heap, path: await server.ask('snapshot', join(server.folder, `${name}.heapsnapshot`), SNAPSHOT_MS) }
    })

  const onHeap = decided.heap.perRequest
  const interval = Math.min(INTERVALS[1], Math.max(INTERVALS[0], Math.round((onHeap * requests * BLOCKS) / SAMPLES)))
  let sampling = await attempt('no allocation sites', async () => {
    await server.ask('profileStart', interval)
    // Creates what this code creates once, before the first snapshot.
    await server.ask('profileTake')
    return true
  })
  const before = await snapshot('before')
  const files = await attempt('no files', () => server.ask('openFiles'))
  const profiles = []
  for (let block = 1; block <= BLOCKS; block++) {
    report({ phase: 'searching for allocation sites', route: route.route, round: block, rounds: BLOCKS })
    await rounds.send(route, requests)
    if (!sampling) continue
    const profile = await attempt('no allocation sites', () => server.ask('profileTake'))
    sampling = profile !== undefined
    if (sampling) profiles.push(profile)
  }
  const total = requests * BLOCKS
  if (sampling) {
    await attempt('no allocation sites', () => server.ask('profileStop'))
    found.sites = sitesOf(profiles, requests, (onHeap * total) / 100)
  }
  found.files = filesOf(files, await attempt('no files', () => server.ask('openFiles')), total)
  const after = before && (await snapshot('after'))
  report({ phase: 'comparing heap snapshots', route: route.route })
  if (after) found.classes = (await attempt('no classes', () => classesOf(before, after, total, onHeap))) ?? []
}

function sitesOf(profiles, requests, least) {
  const typed = profiles.map(profile => ({
    ...profile,
    parents: Uint32Array.from(profile.parents),
    of: Int32Array.from(profile.of),
    bytes: Float64Array.from(profile.bytes),
    samples: Float64Array.from(profile.samples)
  }))
  const sent = profiles.map((_, block) => (block + 1) * requests)
  // That a growing function is the framework's is not informative.
  return native.soakSites(typed, sent, Math.max(4096, least)).filter(({ origin }) => !FRAMEWORK.test(origin))
}

/** One row per leak, with its holder, as the running server finds it. `perRequest`: bytes that a request retains. */
async function classesOf(before, after, requests, perRequest) {
  const heaps = await Promise.all([heap.open(before.path), heap.open(after.path)])
  try {
    const rows = await heaps[0].leaks(heaps[1], after.heap - before.heap)
    return rows.map(({ count, share, ...row }) => ({
      ...row,
      perThousand: (count / requests) * 1000,
      retainedBytesPerRequest: share * perRequest
    }))
  } finally {
    await Promise.all(heaps.map(each => each.close()))
  }
}

/** Files that are open more often than before. */
function filesOf(before, after, requests) {
  if (!before || !after) return []
  return Object.keys(after)
    .map(name => ({ name, perThousand: ((after[name] - (before[name] ?? 0)) / requests) * 1000 }))
    .filter(({ perThousand }) => perThousand >= OFTEN * 1000)
    .sort((a, b) => b.perThousand - a.perThousand)
    .slice(0, FILES)
}

module.exports = { gather }
