'use strict'

// npm run bench:startup [-- ROUNDS]
//
// What `plimsoll/register` adds to the start of a process: the medians of alternating runs, for a script without a
// server and for one whose server listens. CPU time is user and system time of the process.

const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { pathToFileURL } = require('node:url')

const REGISTER = path.join(__dirname, '..', 'register.js')
const WAYS = {
  bare: [],
  '--require': ['--require', REGISTER],
  '--import': ['--import', pathToFileURL(REGISTER).href]
}
const MEASURE =
  'process.on("exit", () => console.log(JSON.stringify({ ...process.cpuUsage(), wall: performance.now() })))'
const PROGRAMS = {
  'a script without a server': MEASURE,
  'a server that listens': `${MEASURE};require('node:http').createServer().listen(0, () => setImmediate(process.exit))`
}
const rounds = Number(process.argv[2] ?? 20)

function measure(flags, program) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, '-e', program], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  const { user, system, wall } = JSON.parse(stdout)
  return { wall, cpu: (user + system) / 1000 }
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1]
}

console.log(`Node ${process.version}, medians of ${rounds} alternating runs, in ms`)
for (const [name, program] of Object.entries(PROGRAMS)) {
  const seen = Object.fromEntries(Object.keys(WAYS).map(way => [way, []]))
  for (let round = 0; round < rounds; round++)
    for (const [way, flags] of Object.entries(WAYS)) seen[way].push(measure(flags, program))
  console.log(name)
  const of = way => ['wall', 'cpu'].map(kind => median(seen[way].map(each => each[kind])))
  const bare = of('bare')
  for (const way of Object.keys(WAYS)) {
    const [wall, cpu] = of(way)
    const more = way === 'bare' ? '' : ` (+${(wall - bare[0]).toFixed(1)}, CPU +${(cpu - bare[1]).toFixed(1)})`
    console.log(`  ${way.padEnd(10)} ${wall.toFixed(1)}, CPU ${cpu.toFixed(1)}${more}`)
  }
}
