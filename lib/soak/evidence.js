'use strict'

/*
 * Collects evidence for a route that grows: further blocks of this route alone, with V8's sampling heap profiler on,
 * and a heap snapshot before and after. This also shows whether the route grows on its own: growth that only appears in
 * turn with other routes is theirs.
 */

const { join } = require('node:path')
const { native } = require('../core/addon.js')
const { message } = require('../core/describe.js')
const heap = require('../heap/read-snapshot.js')
const { SoakError } = require('./error.js')
const { Series } = require('./series.js')

/** The number that the statistics of allocation sites need, and some more. */
const BLOCKS = 18
/**
 * Bytes that all blocks together should retain: enough for classes to stand out, while a snapshot still takes a moment
 * only.
 */
const WANTED = 6 * 1024 * 1024
const LEAST_BLOCK = 20
/** Samples of the retained bytes. */
const SAMPLES = 2000
const INTERVALS = [256, 8 * 1024]
/** Snapshots of larger heaps would take minutes. */
const SNAPSHOT_BYTES = 768 * 1024 * 1024
const SNAPSHOT_MS = 600_000
/** A class is shown if at least two in a hundred requests retain one. */
const OFTEN = 0.02
const LIKE_MOST = 0.3
const CLASSES = 8
const FRAMEWORK = /node_modules[\\/](?:express4?|router|connect|finalhandler)[\\/]/
/** Classes with unspecific names come after the others. */
const UNSPECIFIC = /^(Function|Object|Array|Map|Set|Promise|\(closure\)|system \/ .*)$/
/** Kinds of V8, which appear with any retained object. */
const OF_V8 = /^\((?!closure\))/

/** `{ alone, sites, classes, files, notes }`. `whole`: whether it was completed, which the verdict does not need. */
async function gather(rounds, route, series) {
  const alone = new Series(series.key, rounds.settings.max)
  const found = { alone, sites: [], classes: [], files: [], notes: [], whole: true }
  try {
    await sample(rounds, route, series, found)
  } catch (error) {
    // The leak may have ended the process.
    if (!(error instanceof SoakError)) throw error
    found.whole = false
    found.notes.push(`no more evidence: ${textOf(error)}`)
  }
  return found
}

function textOf(error) {
  return message(error).replace(/^plimsoll: (soak: )?/, '')
}

async function sample(rounds, route, series, found) {
  const { server, settings, report } = rounds
  const kept = Math.max(1, ...['heap', 'external', 'malloc'].map(name => series.decided[name]?.perRequest ?? 0))
  const requests = Math.max(LEAST_BLOCK, Math.min(route.block, Math.round(WANTED / BLOCKS / kept)))
  const attempt = async (what, work) => {
    if (!settings.evidence) return undefined
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
      if (rounds.last.heap > SNAPSHOT_BYTES) throw new Error('the heap is too large for a snapshot')
      return server.ask('snapshot', join(server.folder, `${name}.heapsnapshot`), SNAPSHOT_MS)
    })

  const onHeap = series.decided.heap.perRequest
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
  await rounds.figures()
  for (let block = 1; block <= BLOCKS; block++) {
    report({ phase: 'searching for allocation sites', route: route.route, round: block, rounds: BLOCKS })
    await rounds.block(route, found.alone, requests)
    if (!sampling) continue
    const profile = await attempt('no allocation sites', () => server.ask('profileTake'))
    sampling = profile !== undefined
    if (sampling) profiles.push({ ...profile, requests: found.alone.total })
  }
  if (sampling) {
    await attempt('no allocation sites', () => server.ask('profileStop'))
    found.sites = sitesOf(profiles, (onHeap * found.alone.total) / 100)
  }
  found.files = filesOf(files, await attempt('no files', () => server.ask('openFiles')), found.alone.total)
  const after = before && (await snapshot('after'))
  if (after) found.classes = (await attempt('no classes', () => classesOf(before, after, found.alone.total))) ?? []
}

function sitesOf(profiles, least) {
  const typed = profiles.map(profile => ({
    ...profile,
    parents: Uint32Array.from(profile.parents),
    of: Int32Array.from(profile.of),
    bytes: Float64Array.from(profile.bytes)
  }))
  // That a growing function is the framework's is not informative.
  return native.soakSites(typed, Math.max(4096, least)).filter(({ origin }) => !FRAMEWORK.test(origin))
}

/**
 * Classes with more objects than before. The numbers are counted, because the diff's ids are unreliable: V8 may give an
 * object the id of a dead one at the same address.
 */
async function classesOf(before, after, requests) {
  const heaps = await Promise.all([heap.open(before), heap.open(after)])
  try {
    const [was, is] = await Promise.all(heaps.map(async each => byName((await each.summary()).classes)))
    const paths = byName((await heaps[0].diff(heaps[1])).classes)
    const grown = [...is.values()]
      .map(({ name, count, retainedBytes }) => {
        const { count: countBefore, retainedBytes: bytesBefore } = was.get(name) ?? { count: 0, retainedBytes: 0 }
        return {
          name,
          perThousand: ((count - countBefore) / requests) * 1000,
          retainedBytesPerRequest: (retainedBytes - bytesBefore) / requests,
          path: paths.get(name)?.path ?? []
        }
      })
      .filter(({ name, perThousand }) => perThousand >= OFTEN * 1000 && !OF_V8.test(name))
    // What few requests retain has another cause than what most do.
    const most = Math.max(...grown.map(({ perThousand }) => perThousand))
    return grown
      .filter(({ perThousand }) => perThousand >= LIKE_MOST * Math.min(most, 1000))
      .sort(
        (a, b) =>
          UNSPECIFIC.test(a.name) - UNSPECIFIC.test(b.name) || b.retainedBytesPerRequest - a.retainedBytesPerRequest
      )
      .slice(0, CLASSES)
  } finally {
    await Promise.all(heaps.map(each => each.close()))
  }
}

/** Classes of Node and of the app may have the same name. In a diff, the one that grew most comes first. */
function byName(classes) {
  const all = new Map()
  for (const each of classes) {
    const known = all.get(each.name)
    if (known === undefined) all.set(each.name, { ...each })
    else {
      known.count += each.count
      known.retainedBytes += each.retainedBytes
    }
  }
  return all
}

/** Files that are open more often than before. */
function filesOf(before, after, requests) {
  if (!before || !after) return []
  return Object.keys(after)
    .map(name => ({ name, perThousand: ((after[name] - (before[name] ?? 0)) / requests) * 1000 }))
    .filter(({ perThousand }) => perThousand >= OFTEN * 1000)
    .sort((a, b) => b.perThousand - a.perThousand)
    .slice(0, CLASSES)
}

module.exports = { gather }
