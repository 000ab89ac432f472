'use strict'

/*
 * memlab's `find-leaks` on three snapshots of a twin: what was made between the first two, and is still there in the third. In a process without
 * plimsoll, whose own objects would count.
 *
 * Its default filter knows what leaks in browsers: detached elements, fibers. So it is asked as with `--trace-all-objects=selected-js-objects`, which
 * has no filter but for V8's own objects: whatever was made and stays is a leak.
 */

const { execFile } = require('node:child_process')
const { mkdtemp, readFile, rm, writeFile } = require('node:fs/promises')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { promisify } = require('node:util')
const corpus = require('../../corpus')
const { PEERS, newestNode, prepare } = require('../heap/peers.js')

const BASELINE = 0.2
const DEADLINE_MS = 240_000

/** The classes of what it calls leaked, one a cluster of its traces. */
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
    return await find(folder, paths)
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

/** `{ '12: --2339 (internal)---> [User](object) @171101 … $memLabTag:leaked': … }`: the first step that has leaked. */
function told(trace) {
  const steps = Object.keys(trace).filter(step => step.includes('$memLabTag:leaked'))
  return /--->\s+\[(.*?)\]\(/.exec(steps[0] ?? '')?.[1] ?? 'something'
}

if (require.main === module) main(process.argv.slice(2))
else module.exports = { memlab }
