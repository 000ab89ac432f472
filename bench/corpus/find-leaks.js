'use strict'

/*
 * Runs `find-leaks` of memlab on three snapshots, in its own process:
 *
 *   find-leaks.js <folder with its node_modules> <work folder> <answer> <snapshot> <snapshot> <snapshot>
 *
 * Writes JSON to the file <answer>: the class of the leaked objects, for each cluster of traces.
 *
 * By default memlab only reports typical leaks of browsers, such as detached elements. The options here correspond to
 * `--trace-all-objects=selected-js-objects`. It reports all new objects that stay, except those of V8.
 */

const { writeFile } = require('node:fs/promises')
const { join } = require('node:path')

async function main([peers, workDir, answer, ...paths]) {
  const { config } = require(join(peers, 'node_modules', '@memlab', 'core'))
  const { findLeaksBySnapshotFilePaths } = require(join(peers, 'node_modules', '@memlab', 'api'))
  Object.assign(config, { oversizeObjectAsLeak: true, oversizeThreshold: 0, traceAllObjectsMode: 2 })
  const leaks = await findLeaksBySnapshotFilePaths(...paths, { workDir, consoleMode: 'SILENT' })
  await writeFile(answer, JSON.stringify(leaks.map(classOf)))
}

/** The class of the first leaked step: `{ '12: --2339 (internal)---> [User](object) @171101 … $memLabTag:leaked': … }`. */
function classOf(trace) {
  const steps = Object.keys(trace).filter(step => step.includes('$memLabTag:leaked'))
  return /--->\s+\[(.*?)\]\(/.exec(steps[0] ?? '')?.[1] ?? 'something'
}

main(process.argv.slice(2))
