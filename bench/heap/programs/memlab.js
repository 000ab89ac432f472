'use strict'

// Arguments: `summary` and a file, or `diff` and two files. Output: a JSON line.

const { createRequire } = require('node:module')
const path = require('node:path')

const peers = createRequire(path.join(__dirname, '..', 'peers', 'package.json'))

async function summary(file) {
  // Computes dominators and retained sizes too.
  const heap = await peers('@memlab/heap-analysis').getFullHeapFromFile(file)
  const classes = new Map()
  heap.nodes.forEach(node => {
    const known = classes.get(node.name) ?? { count: 0, retained: 0 }
    classes.set(node.name, { count: known.count + 1, retained: known.retained + node.retainedSize })
  })
  return { nodes: heap.nodes.length, sessions: classes.get('Session').count }
}

async function diff(before, after) {
  // It needs three snapshots. The third may be the second one again.
  const leaks = await peers('@memlab/api').findLeaksBySnapshotFilePaths(before, after, after, {
    consoleMode: 'SILENT'
  })
  return { leaks: leaks.length }
}

const [task, ...files] = process.argv.slice(2)
const tasks = { summary, diff }
tasks[task](...files).then(answer => process.stdout.write(`\n${JSON.stringify(answer)}\n`))
