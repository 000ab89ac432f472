'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const Child = require('./harness/child')
const { summary } = require('./harness/stats')
const { fixed, table } = require('./harness/table')

const MIB = 1 << 20
// Classes with fewer objects, and those of V8 (such as compiled code), change by themselves and are not compared.
const COUNTED = 1000
const OF_V8 = /^\(|^system \//
const WITHIN = 0.01

// The client measures the longest time without a response, from another process.
async function pinged(server, client, work) {
  await client.ask('reset', 60)
  const result = await server.ask(work, 1800)
  const { longestMs, answered } = await client.ask('longest', 60)
  return { ...result, longestMs, answered }
}

// The number of objects of each class in a snapshot. Plimsoll's own reader counts them.
async function classes(config, file) {
  const child = new Child(config.node, [path.join(__dirname, 'programs', 'classes.js'), file], config)
  try {
    return new Map(Object.entries((await child.next(600, 'the classes of a snapshot')).classes))
  } finally {
    await child.end()
  }
}

// The class whose count differs most, and the difference as a fraction of the count.
function difference(found, truth) {
  let worst = { name: null, part: 0 }
  for (const [name, count] of truth) {
    if (count < COUNTED || OF_V8.test(name)) continue
    const part = Math.abs((found.get(name) ?? 0) / count - 1)
    if (part > worst.part) worst = { name, part }
  }
  return worst
}

async function run(config) {
  const dir = fs.mkdtempSync(path.join(process.env.BENCH_DIR ?? os.tmpdir(), 'plimsoll-bench-'))
  const settings = JSON.stringify({ dir, megabytes: config.snapshotMegabytes })
  const server = new Child(config.node, [path.join(__dirname, 'servers', 'snapshot.js'), settings], config)
  const forks = []
  const failures = []
  let stop
  try {
    const { port, heapMb } = await server.next(300, 'its port')
    const client = new Child(process.execPath, [path.join(__dirname, 'programs', 'ping.js'), String(port)], config)
    try {
      await client.next(60, 'its first response')
      for (let i = 0; i < config.snapshotRounds; i++) {
        config.progress(`snapshot ${i + 1}/${config.snapshotRounds}: by a child`)
        const result = await pinged(server, client, 'fork')
        if (result.failure) failures.push(result.failure)
        else forks.push(result)
        // Only the first one is compared.
        if (i > 0 && result.path) fs.rmSync(result.path)
      }
      config.progress('snapshot: by V8 in the server')
      stop = await pinged(server, client, 'stop')
    } finally {
      await client.end()
    }
    config.progress('snapshot: comparing the classes')
    const [found, truth] = [await classes(config, forks[0].path), await classes(config, stop.path)]
    return { node: config.node, heapMb, forks, failures, stop, worst: difference(found, truth) }
  } finally {
    await server.end()
    fs.rmSync(dir, { recursive: true, force: true })
  }
}

function render({ heapMb, forks, failures, stop, worst }) {
  const of = figure => summary(forks.map(fork => fork[figure]))
  const range = ({ median, min, max }, digits) =>
    `${fixed(median, digits)} (${fixed(min, digits)} to ${fixed(max, digits)})`
  const attempts = forks.map(fork => fork.attempts)
  return [
    `### A heap snapshot of ${fixed(heapMb, 0)} MB under load`,
    '',
    table(
      ['', 'taken', 'attempts', 'event loop paused, ms', 'longest without a response, ms', 'took, s', 'file, MiB'],
      [
        [
          '`plimsoll.snapshot()`',
          `${forks.length} of ${forks.length + failures.length}`,
          `${Math.min(...attempts)} to ${Math.max(...attempts)}`,
          range(of('pauseMs'), 0),
          range(of('longestMs'), 0),
          range(summary(forks.map(fork => fork.tookMs / 1000)), 0),
          fixed(of('bytes').median / MIB, 0)
        ],
        [
          '`v8.writeHeapSnapshot()`',
          '1 of 1',
          '1',
          fixed(stop.pauseMs, 0),
          fixed(stop.longestMs, 0),
          fixed(stop.tookMs / 1000, 0),
          fixed(stop.bytes / MIB, 0)
        ]
      ]
    ),
    '',
    `The counts of the program's classes with at least ${COUNTED} objects differ by at most ${fixed(100 * worst.part, 2)} %${worst.name ? ` (${worst.name})` : ''}. The bound is ${100 * WITHIN} %.`,
    ...failures.map(failure => `Failed: ${failure}`)
  ].join('\n')
}

module.exports = {
  name: 'snapshot',
  about: 'heap snapshots under load, and how long they block the server',
  run,
  render
}
