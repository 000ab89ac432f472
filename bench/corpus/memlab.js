'use strict'

/*
 * Runs `find-leaks` of memlab on each twin of the corpus. It takes three snapshots, and reports the objects that were
 * created between the first two and are still in the third. Plimsoll is not loaded, since its objects would count.
 *
 *   npm run corpus:memlab -- [app …] [--node <binary>]… [--jobs 2]
 *
 * Without names, the table goes into docs/corpus.md.
 */

const { execFile } = require('node:child_process')
const { mkdtemp, readFile, rm } = require('node:fs/promises')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { parseArgs, promisify } = require('node:util')
const corpus = require('../../corpus')
const { PEERS, newestNode, prepare } = require('../heap/peers.js')
const { count, inParallel, markdown, nodesOf, replaceSection } = require('./tables.js')

const FIND = join(__dirname, 'find-leaks.js')
const BASELINE = 0.2
const DEADLINE_MS = 240_000

/** The class of the leaked objects, for each cluster. */
async function memlab(app, twin, node) {
  const folder = await mkdtemp(join(tmpdir(), 'corpus-memlab-'))
  const server = await corpus.start(app.name, twin, { node: node.path })
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
    // After these pings, no connection retains a request to the app's own route.
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
  const options = { timeout: DEADLINE_MS, maxBuffer: 1 << 28 }
  await promisify(execFile)(newestNode(), [FIND, PEERS, folder, answer, ...paths], options)
  return JSON.parse(await readFile(answer, 'utf8'))
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      jobs: { type: 'string', default: '2' },
      node: { type: 'string', multiple: true, default: [process.execPath] }
    }
  })
  await prepare(['plimsoll', 'memlab'])
  const apps = positionals.length > 0 ? positionals.map(corpus.get) : corpus.apps
  for (const node of nodesOf(values.node)) {
    const score = { leaky: { all: 0, reported: 0 }, healthy: { all: 0, reported: 0 } }
    const rows = await inParallel(apps, count('jobs', values.jobs), async app => {
      const cells = [`[${app.name}](../corpus/apps/${app.name}.js)`]
      for (const twin of ['leaky', 'healthy']) {
        if (!app.twins.includes(twin)) {
          cells.push('–')
          continue
        }
        const classes = await memlab(app, twin, node)
        const leaks = twin === 'healthy' || corpus.leaks(app, node.version)
        score[twin].all += leaks ? 1 : 0
        score[twin].reported += leaks && classes.length > 0 ? 1 : 0
        cells.push(classes.length === 0 ? 'no' : classes.join(', '))
      }
      return cells
    })
    const titles = ['app', 'leaky', 'healthy']
    const { leaky, healthy } = score
    const result = `reports leaks in ${leaky.reported} of ${leaky.all} leaky twins, and in ${healthy.reported} of ${healthy.all} healthy twins`
    const text = `## Node ${node.version}\n\nOne run each: memlab ${result}.\n\n${markdown(titles, rows)}\n`
    process.stdout.write(text)
    if (positionals.length === 0) replaceSection('memlab', text)
  }
}

main()
