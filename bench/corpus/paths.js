'use strict'

/*
 * Checks the class and the holder that each leaky app of the corpus declares.
 *
 *   node bench/corpus/paths.js [app …]
 *
 * Plimsoll reads two snapshots of the app. The number of instances of the class must grow with the requests. The holder
 * should be on the shortest path to one of them, but another path may be shorter. Exits with 1 if the class does not grow.
 */

const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const plimsoll = require('../..')
const corpus = require('../../corpus')

const REQUESTS = 120
/** Some apps leak with one request in ten only. */
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
      const grows = found !== undefined && found.added - found.removed >= LEAST
      // Compares whole words, since `process` must not match `process-listener.js`.
      const isDeclared = new RegExp(`(^|[\\s#(])${app.expected.holder}(?![\\w.-])`).test(path)
      if (!grows) process.exitCode = 1
      const verdict = !grows ? 'DOES NOT GROW' : isDeclared ? 'as declared' : 'another path'
      process.stdout.write(
        `${app.name}: ${app.expected.class} +${found?.added ?? 0}, ${verdict}: … ${path.slice(-160)}\n`
      )
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

main(process.argv.slice(2))
