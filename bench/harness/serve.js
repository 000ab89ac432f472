'use strict'

const { createRequire } = require('node:module')
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')

// Reads package.json from disk, since some packages do not export it.
function versionOf(name, file) {
  if (name.startsWith('.')) return JSON.parse(fs.readFileSync(path.resolve(path.dirname(file), name))).version
  for (const folder of createRequire(file).resolve.paths(name)) {
    const manifest = path.join(folder, name, 'package.json')
    if (fs.existsSync(manifest)) return JSON.parse(fs.readFileSync(manifest)).version
  }
  return 'unknown'
}

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

// Finalizers, weak callbacks and closed sockets release memory between collections, so several are needed.
async function settledHeap() {
  let last = Number.POSITIVE_INFINITY
  let used = 0
  for (let pass = 0; pass < 20; pass++) {
    await pause(100)
    global.gc()
    used = process.memoryUsage().heapUsed
    if (pass >= 7 && Math.abs(used - last) < 1024) break
    last = used
  }
  return { heapUsed: used, rss: process.memoryUsage().rss }
}

// Writes JSON lines: { port, versions } at the start, then an answer to each line of stdin. The lines are 'state' (what
// the subject itself has counted) and 'heap'. It ends when stdin ends, so that no server outlives the benchmark.
async function serve(module, file) {
  const say = message => process.stdout.write(`${JSON.stringify(message)}\n`)
  const { app, state } = await module.create()
  const server = app.listen(0, '127.0.0.1', error => {
    if (error) throw error
    const versions = {}
    for (const name of module.packages) versions[name.startsWith('.') ? 'plimsoll' : name] = versionOf(name, file)
    say({ port: server.address().port, versions })
  })
  // The default is five seconds. On a busy machine, the server could close a connection while a request is sent.
  server.keepAliveTimeout = 600_000
  const lines = readline.createInterface({ input: process.stdin })
  lines.on('line', async line => {
    if (line === 'state') say(await state())
    else if (line === 'heap') say(await settledHeap())
    else say({ error: `no command '${line}'` })
  })
  lines.on('close', () => {
    server.close(() => process.exit(0))
    server.closeAllConnections()
  })
}

module.exports = serve
