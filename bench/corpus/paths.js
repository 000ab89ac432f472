'use strict'

/*
 * Whether what each leaky app of the corpus declares as kept is: two snapshots, read by plimsoll, between which instances of the class become
 * more with each request. And whether the holder is on the shortest path to one of them; there may be a shorter one than the leak's.
 * `node bench/corpus/paths.js [app …]`; exits with 1 where the class is not kept.
 */

const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const plimsoll = require('../..')
const corpus = require('../../corpus')

const REQUESTS = 120
/** Some leak with one request in ten only. */
const LEAST = REQUESTS / 20

async function classes(app, folder) {
  const server = await corpus.start(app.name, 'leaky')
  try {
    const heaps = []
    for (const name of ['before', 'after']) {
      await server.send(REQUESTS)
      await server.ask('memory')
      heaps.push(await plimsoll.heap.open(await server.ask('snapshot', join(folder, `${name}.heapsnapshot`))))
    }
    const { classes } = await heaps[0].diff(heaps[1])
    await Promise.all(heaps.map(heap => heap.close()))
    return classes
  } finally {
    await server.stop()
  }
}

async function main(names) {
  const apps = names.length > 0 ? names.map(corpus.get) : corpus.apps
  const folder = mkdtempSync(join(tmpdir(), 'corpus-paths-'))
  try {
    for (const app of apps.filter(app => corpus.leaks(app) && app.expected.class)) {
      const found = (await classes(app, folder)).find(({ name }) => name === app.expected.class)
      const path = (found?.path ?? []).join(' → ')
      const kept = found !== undefined && found.added - found.removed >= LEAST
      // By whole words: `process` is not `process-listener.js`.
      const held = new RegExp(`(^|[\\s#(])${app.expected.holder}(?![\\w.-])`).test(path)
      if (!kept) process.exitCode = 1
      const said = !kept ? 'NOT KEPT' : held ? 'as declared' : 'another path'
      process.stdout.write(`${app.name}: ${app.expected.class} +${found?.added ?? 0}, ${said}: … ${path.slice(-160)}\n`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

main(process.argv.slice(2))
