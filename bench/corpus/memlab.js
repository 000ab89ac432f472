'use strict'

/*
 * memlab's `find-leaks` on three snapshots of a twin: what was made between the first two, and is still there in the third. In a process without
 * plimsoll, whose own objects would count.
 *
 * Its default filter knows what leaks in browsers. So it is asked for `--trace-all-objects=selected-js-objects`, as its manual has it for Node, and
 * a cluster of at least as many objects as a tenth of the requests is a leak: they are what comes with each request.
 */

const { execFile } = require('node:child_process')
const { mkdtemp, readFile, rm, writeFile } = require('node:fs/promises')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { promisify } = require('node:util')
const corpus = require('../../corpus')
const { PEERS, newestNode, prepare } = require('../heap/peers.js')

const BASELINE = 0.2
const SHARE = 0.1
const DEADLINE_MS = 240_000

/** `{ leak, clusters, largest }`; `largest`: the class and count of the largest cluster. */
async function memlab(app, twin, options) {
  await prepare(['plimsoll', 'memlab'])
  const folder = await mkdtemp(join(tmpdir(), 'corpus-memlab-'))
  const server = await corpus.start(app.name, twin, options)
  try {
    const paths = ['baseline', 'target', 'final'].map(name => join(folder, `${name}.heapsnapshot`))
    const requests = Math.round(app.load.requests * (1 - BASELINE))
    const take = async path => {
      await server.ask('memory')
      await server.ask('snapshot', path)
    }
    await server.warm()
    await server.send(app.load.requests - requests)
    await take(paths[0])
    await server.send(requests)
    await take(paths[1])
    // So that no connection holds one of the last requests.
    await server.warm(100)
    await take(paths[2])
    await server.stop()
    const clusters = await find(folder, paths)
    const largest = clusters.sort((a, b) => b.count - a.count)[0] ?? null
    return { leak: largest !== null && largest.count >= requests * SHARE, clusters: clusters.length, largest }
  } finally {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function find(folder, paths) {
  const answer = join(folder, 'answer.json')
  await promisify(execFile)(newestNode(), [__filename, PEERS, folder, answer, ...paths], {
    timeout: DEADLINE_MS,
    maxBuffer: 1 << 28
  })
  return JSON.parse(await readFile(answer, 'utf8'))
}

async function main([peers, workDir, answer, ...paths]) {
  const { config } = require(join(peers, 'node_modules', '@memlab', 'core'))
  const { findLeaksBySnapshotFilePaths } = require(join(peers, 'node_modules', '@memlab', 'api'))
  Object.assign(config, { oversizeObjectAsLeak: true, oversizeThreshold: 0, traceAllObjectsMode: 2 })
  const leaks = await findLeaksBySnapshotFilePaths(...paths, { workDir, consoleMode: 'SILENT' })
  await writeFile(answer, JSON.stringify(leaks.map(told)))
}

/** The last step of a trace is the object, and its cluster's size stands beside the trace. */
function told(trace) {
  const count = Number(
    trace['$memLabTag:cluster-size'] ?? Object.entries(trace).find(([key]) => /numOfDups|similar/i.test(key))?.[1] ?? 1
  )
  return { count, name: Object.keys(trace).at(-1) }
}

if (require.main === module) main(process.argv.slice(2))
else module.exports = { memlab }
