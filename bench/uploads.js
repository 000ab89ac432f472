'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const Child = require('./harness/child')
const { summary } = require('./harness/stats')
const { counted, fixed, table } = require('./harness/table')

const MIB = 1 << 20
const LATER_MS = 3000

// `warmUps`: the number of loads before the measured one. During the first load V8 adapts its collections. The number of
// markings then differs between processes, by up to a fifth of the CPU time of inflating.
//
// Servers that hold a whole body in memory do not get fifty of 100 MiB: most machines have too little memory for that.
const SCENARIOS = [
  {
    name: 'refused',
    title: '10 MiB against a limit of 1 MiB',
    size: 10 * MIB,
    servers: ['limit', 'express-raw', 'express-json', 'multer-memory', 'multer-disk', 'fastify']
  },
  {
    name: 'passed',
    title: '10 MiB accepted, and read as they arrive',
    size: 10 * MIB,
    warmUps: 2,
    servers: ['bare', 'limit']
  },
  {
    name: 'inflated',
    title: '10 MiB in gzip, inflated, and read as they arrive',
    size: 10 * MIB,
    warmUps: 2,
    servers: ['zlib-inflate', 'limit-inflate']
  },
  {
    name: 'held',
    title: '10 MiB accepted, and all retained until the last has arrived',
    size: 10 * MIB,
    servers: ['spool-memory', 'spool', 'express-raw', 'express-json', 'multer-memory', 'multer-disk', 'fastify']
  },
  {
    name: 'spooled',
    title: '100 MiB, to disk',
    size: 100 * MIB,
    servers: ['spool', 'multer-disk']
  },
  {
    name: 'read',
    title: '100 MiB, to disk, and all read back at once',
    size: 100 * MIB,
    servers: ['spool', 'spool-stream', 'spool-file']
  }
]

const TITLES = {
  bare: 'bare Express 5',
  limit: '`plimsoll.limit()`',
  'limit-inflate': '`plimsoll.limit({ inflate: true })`',
  'zlib-inflate': '`zlib.createUnzip()`',
  spool: '`plimsoll.spool()`',
  'spool-memory': "`plimsoll.spool({ memory: '16mb' })`",
  'spool-stream': '`req.body.stream()`',
  'spool-file': '`req.body.moveTo()`, `fs.createReadStream()`',
  'express-raw': '`express.raw()`',
  'express-json': '`express.json()`',
  'multer-memory': 'multer, memory',
  'multer-disk': 'multer, disk',
  fastify: 'fastify'
}
const KIND = {
  'limit-inflate': 'gzip',
  'zlib-inflate': 'gzip',
  'express-json': 'json',
  fastify: 'json',
  'multer-memory': 'multipart',
  'multer-disk': 'multipart'
}

const ROOT = path.join(__dirname, '..')
/** Plimsoll's servers, which --before compares with those of another checkout. */
const isOwn = server => /^(limit|spool)/.test(server)

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

// The RSS, and its maximum since the last reset (VmHWM), in bytes.
function memory(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1')
  const field = name => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)[1]) * 1024
  return { rss: field('VmRSS'), peak: field('VmHWM') }
}

// Of all threads, since the start of the process.
function cpuSeconds(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return (user + system) / 100
}

async function load(server, port, config, count, size) {
  const argument = JSON.stringify({ port, count, size, kind: KIND[server] ?? 'bytes' })
  const child = new Child(config.node, [path.join(__dirname, 'programs', 'uploads.js'), argument])
  try {
    return await child.next(600, `${count} uploads of ${size} bytes to '${server}'`)
  } finally {
    await child.end()
  }
}

async function once({ name, size, warmUps = 0 }, server, config, { dir, root }) {
  const settings = JSON.stringify({ kind: server, scenario: name, dir, root })
  const child = new Child(config.node, [path.join(__dirname, 'servers', 'uploads.js'), settings], config)
  try {
    const { port, versions } = await child.next(60, 'its port')
    // The first uploads also load code and allocate buffers, which must not count.
    await load(server, port, config, 5, MIB / 2)
    for (let i = 0; i < warmUps; i++) await load(server, port, config, config.uploads, size)
    await pause(500)
    const { pid } = child.process
    const { rss: before } = memory(pid)
    fs.writeFileSync(`/proc/${pid}/clear_refs`, '5')
    const cpuBefore = cpuSeconds(pid)
    const { seconds, statuses } = await load(server, port, config, config.uploads, size)
    const cpu = cpuSeconds(pid) - cpuBefore
    const { peak } = memory(pid)
    await pause(LATER_MS)
    const { rss: after } = memory(pid)
    return { versions, seconds, cpu, statuses, before, growth: peak - before, later: after - before }
  } finally {
    await child.end()
  }
}

// The servers of a round. With --before, each server of Plimsoll runs twice in a row, and the order alternates.
function subjects({ servers }, { before }, round) {
  return servers.flatMap(server => {
    const now = { key: server, server, root: ROOT, title: TITLES[server] }
    if (!before || !isOwn(server)) return [now]
    const then = { ...now, key: `${server} before`, root: before, title: `${now.title}, before` }
    return round % 2 === 0 ? [then, now] : [now, then]
  })
}

async function run(config) {
  const scenarios = SCENARIOS.filter(({ name }) => config.scenarios.includes(name))
  const dir = fs.mkdtempSync(path.join(process.env.BENCH_DIR ?? os.tmpdir(), 'plimsoll-bench-'))
  const rounds = []
  const versions = {}
  try {
    for (let round = 0; round < config.uploadRounds; round++) {
      const measured = {}
      for (const scenario of scenarios) {
        measured[scenario.name] = {}
        for (const { key, server, root } of subjects(scenario, config, round)) {
          config.progress(`uploads ${round + 1}/${config.uploadRounds} ${scenario.name}: ${key}`)
          const result = await once(scenario, server, config, { dir, root })
          measured[scenario.name][key] = result
          Object.assign(versions, result.versions)
        }
      }
      rounds.push(measured)
    }
  } finally {
    fs.rmSync(dir, { recursive: true, force: true })
  }
  const tables = scenarios.map(scenario => ({
    title: scenario.title,
    rows: subjects(scenario, config, 0).map(({ key, title }) => {
      const of = figure => summary(rounds.map(round => round[scenario.name][key][figure]))
      return {
        title,
        statuses: rounds.map(round => round[scenario.name][key].statuses),
        before: of('before'),
        growth: of('growth'),
        later: of('later'),
        seconds: of('seconds'),
        cpu: of('cpu')
      }
    })
  }))
  return { uploads: config.uploads, tables, rounds, versions: { 'Upload servers': versions } }
}

// The responses to the clients of all rounds, as `413 ×50`. `none`: the client could not read its response.
function answers(statuses) {
  const counts = {}
  for (const round of statuses) {
    for (const [status, count] of Object.entries(round)) counts[status] = (counts[status] ?? 0) + count
  }
  return Object.entries(counts)
    .map(([status, count]) => `${status} ×${count}`)
    .join(', ')
}

function render({ uploads, tables, rounds }) {
  const mib = ({ median, min, max }) =>
    `${fixed(median / MIB, 0)} MiB${min === max ? '' : ` (${fixed(min / MIB, 0)} to ${fixed(max / MIB, 0)})`}`
  const seconds = ({ median, min, max }) => `${fixed(median, 2)} (${fixed(min, 2)} to ${fixed(max, 2)})`
  const sections = tables.map(({ title, rows }) =>
    [
      `${uploads} × ${title}`,
      '',
      table(
        [
          'server',
          'clients read',
          'RSS before',
          'RSS grows by',
          `${LATER_MS / 1000} s afterwards`,
          'seconds',
          'CPU seconds'
        ],
        rows.map(row => [
          row.title,
          answers(row.statuses),
          mib(row.before),
          mib(row.growth),
          mib(row.later),
          seconds(row.seconds),
          seconds(row.cpu)
        ])
      )
    ].join('\n')
  )
  return [
    `### Memory of ${uploads} uploads at once`,
    ...sections,
    `Medians of ${counted(rounds.length, 'run')} (lowest to highest), each in a fresh process. Growth is that of the highest RSS (VmHWM).`
  ].join('\n\n')
}

module.exports = {
  name: 'uploads',
  about: 'memory and CPU of many uploads at once: refused, passed on, inflated, held, spooled, read back',
  SCENARIOS: SCENARIOS.map(({ name }) => name),
  run,
  render
}
