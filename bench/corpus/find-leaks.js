'use strict'

/*
 * memlab's `find-leaks` on three snapshots, in a process of its own: `find-leaks.js <folder with its node_modules> <work folder> <answer>
 * <snapshot> <snapshot> <snapshot>`. The answer, as JSON, is the classes of what it calls leaked, one a cluster of its traces.
 *
 * Its default filter knows what leaks in browsers: detached elements, fibers. So it is asked as with `--trace-all-objects=selected-js-objects`, which
 * has no filter but for V8's own objects: whatever was made and stays is a leak.
 */

const { writeFile } = require('node:fs/promises')
const { join } = require('node:path')

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

main(process.argv.slice(2))
