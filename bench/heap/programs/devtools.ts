// Runs the code of Chrome DevTools: the loader, and the two threads of its computations. Arguments: `summary` and a file,
// or `diff` and two files. Output: a JSON line.

import { createReadStream } from 'node:fs'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import * as HeapSnapshot from 'chrome-devtools-frontend/front_end/entrypoints/heap_snapshot_worker/HeapSnapshot.js'
import { HeapSnapshotLoader } from 'chrome-devtools-frontend/front_end/entrypoints/heap_snapshot_worker/HeapSnapshotLoader.js'
import * as HeapSnapshotModel from 'chrome-devtools-frontend/front_end/models/heap_snapshot/heap_snapshot.js'

async function load(file: string) {
  const worker = new Worker(new URL(import.meta.url), { execArgv: [] })
  const channel = new MessageChannel()
  worker.postMessage(channel.port2, [channel.port2 as never])
  const loader = new HeapSnapshotLoader({ sendEvent() {} } as never)
  for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: 8 << 20 })) loader.write(chunk)
  loader.close()
  const snapshot = await loader.buildSnapshot(channel.port1 as never)
  await worker.terminate()
  return snapshot
}

async function summary(file: string) {
  const snapshot = await load(file)
  const filter = new HeapSnapshotModel.HeapSnapshotModel.NodeFilter()
  const classes = Object.values(snapshot.aggregatesWithFilter(filter))
  const figures = classes.map(({ name, count, self, maxRet }) => ({ name, count, self, maxRet }))
  return { classes: figures.length, sessions: figures.find(({ name }) => name === 'Session')?.count, figures }
}

async function diff(before: string, after: string) {
  const [first, second] = [await load(before), await load(after)]
  const all = Object.values(second.calculateSnapshotDiff(1, first.aggregatesForDiff(second.interfaceDefinitions())))
  return { leaked: all.find(({ name }) => name === 'LeakedSession')?.addedCount }
}

if (isMainThread) {
  const [task, ...files] = process.argv.slice(2)
  const run = task === 'diff' ? diff(files[0], files[1]) : summary(files[0])
  run.then(answer => {
    process.stdout.write(`${JSON.stringify(answer)}\n`)
    process.exit(0)
  })
} else {
  parentPort?.once('message', port => new HeapSnapshot.SecondaryInitManager(port))
}
