'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const Child = require('./lib/child')
const { summary } = require('./lib/stats')
const { counted, fixed, table } = require('./lib/table')

const MIB = 1 << 20
const LATER_MS = 3000

// express.raw holds every body whole: at 100 MiB each it would take the machine's memory.
const SUBJECTS = [
  { name: 'spool', title: '`plimsoll.spool()`', size: 100 * MIB },
  { name: 'multer-disk', title: 'multer, disk storage', size: 100 * MIB, multipart: true },
  { name: 'express-raw', title: '`express.raw()`', size: 10 * MIB }
]

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

// VmRSS and VmHWM, the highest since it was reset; bytes.
function memory(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1')
  const field = name => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)[1]) * 1024
  return { rss: field('VmRSS'), peak: field('VmHWM') }
}

async function load(subject, port, config, count, size) {
  const argument = JSON.stringify({ port, count, size, multipart: subject.multipart === true })
  const child = new Child(config.node, [path.join(__dirname, 'children', 'uploads.js'), argument])
  try {
    return await child.next(600, `${count} uploads of ${size} bytes to '${subject.name}'`)
  } finally {
    await child.end()
  }
}

async function once(subject, config, dir) {
  const server = new Child(config.node, [path.join(__dirname, 'servers', 'uploads.js'), subject.name, dir], config)
  try {
    const { port, versions } = await server.next(60, 'its port')
    // Code and buffers that the first uploads bring are not what they cost.
    await load(subject, port, config, 5, MIB)
    await pause(500)
    const { pid } = server.process
    const { rss: before } = memory(pid)
    fs.writeFileSync(`/proc/${pid}/clear_refs`, '5')
    const { seconds } = await load(subject, port, config, config.uploads, subject.size)
    const { peak } = memory(pid)
    await pause(LATER_MS)
    const { rss: after } = memory(pid)
    return { versions, seconds, before, growth: peak - before, later: after - before }
  } finally {
    await server.end()
  }
}

async function run(config) {
  const dir = fs.mkdtempSync(path.join(process.env.BENCH_DIR ?? os.tmpdir(), 'plimsoll-bench-'))
  const rounds = []
  const versions = {}
  try {
    for (let round = 0; round < config.spoolRounds; round++) {
      const measured = {}
      for (const subject of SUBJECTS) {
        config.progress(`spool ${round + 1}/${config.spoolRounds} ${subject.name}: ${config.uploads} uploads`)
        measured[subject.name] = await once(subject, config, dir)
        Object.assign(versions, measured[subject.name].versions)
      }
      rounds.push(measured)
    }
  } finally {
    fs.rmSync(dir, { recursive: true, force: true })
  }
  const rows = SUBJECTS.map(({ name, title, size }) => {
    const of = figure => summary(rounds.map(round => round[name][figure]))
    return { title, size, before: of('before'), growth: of('growth'), later: of('later'), seconds: of('seconds') }
  })
  return { uploads: config.uploads, rows, rounds, versions: { 'Takes uploads': versions } }
}

function render({ uploads, rows, rounds }) {
  const mib = ({ median, min, max }) =>
    `${fixed(median / MIB, 0)} MiB${min === max ? '' : ` (${fixed(min / MIB, 0)} to ${fixed(max / MIB, 0)})`}`
  return [
    `### Memory of ${uploads} uploads at once`,
    '',
    table(
      ['server', 'each', 'RSS before', 'RSS grows by', `${LATER_MS / 1000} s afterwards`, 'seconds'],
      rows.map(row => [
        row.title,
        `${row.size / MIB} MiB`,
        mib(row.before),
        mib(row.growth),
        mib(row.later),
        fixed(row.seconds.median, 1)
      ])
    ),
    '',
    `Medians of ${counted(rounds.length, 'run')} (lowest to highest), each in a fresh process; growth is that of VmHWM, the highest RSS at any moment.`
  ].join('\n')
}

module.exports = { name: 'spool', about: 'memory of many large uploads at once', run, render }
