'use strict'

const path = require('node:path')
const Child = require('./harness/child')
const Server = require('./harness/server')
const { rotated } = require('./harness/subjects')
const { summary } = require('./harness/stats')
const { counted, fixed, grouped, spread, table } = require('./harness/table')

const OPEN = path.join(__dirname, 'programs', 'open.js')
const SERVER = path.join(__dirname, 'servers', 'sockets.js')

/** Each variant switches on one more part. */
const VARIANTS = [
  { name: 'bare', title: 'bare Express 5', parts: {} },
  {
    name: 'frame',
    title: '`plimsoll({ async: false, leaks: false })`',
    parts: { tracked: { async: false, leaks: false } }
  },
  { name: 'async', title: '`plimsoll({ leaks: false })`', parts: { tracked: { leaks: false } } },
  { name: 'leaks', title: '`plimsoll()`', parts: { tracked: {} } },
  { name: 'limit', title: '`plimsoll()` + `limit()`', parts: { tracked: {}, limit: true } },
  { name: 'all', title: '`plimsoll()` + `limit()` + `shed()`', parts: { tracked: {}, limit: true, shed: true } }
]
const [BARE] = VARIANTS

/** Rejects if a request has failed. */
async function load(server, seconds, { socketsRate: rate, connections }) {
  const settings = JSON.stringify({ port: server.port, rate, seconds, connections })
  const child = new Child(process.execPath, [OPEN, settings])
  try {
    const result = await child.next(60 + 3 * seconds, `${seconds} s of requests to '${server.subject.name}'`)
    server.sent += result.amount
    if (result.wrong) throw child.fail(`${counted(result.wrong, 'request')} went wrong: ${result.failure}`)
    return result
  } finally {
    await child.end()
  }
}

async function once(variant, config) {
  const env = { ...config.env, PARTS: JSON.stringify(variant.parts) }
  const server = await Server.start({ ...variant, file: SERVER }, { ...config, env })
  try {
    await load(server, config.socketsWarmup, config)
    const [state, threads] = [await server.state(), server.cpuByThread()]
    const { amount, seconds, cpuSeconds, p50, p99, p999, lateP99 } = await load(server, config.socketsSeconds, config)
    const [stateAfter, threadsAfter] = [await server.state(), server.cpuByThread()]
    const micros = thread => ((threadsAfter[thread] - threads[thread]) / amount) * 1e6
    return {
      versions: server.versions,
      note: stateAfter.note,
      main: micros('main'),
      workers: micros('workers'),
      own: micros('own'),
      all: micros('main') + micros('workers') + micros('own'),
      p50,
      p99,
      p999,
      lateP99,
      loadBusy: cpuSeconds / seconds,
      scavenges: stateAfter.scavenges - state.scavenges,
      majors: stateAfter.majors - state.majors,
      newSpace: stateAfter.newSpace / 2 ** 20
    }
  } finally {
    await server.end()
  }
}

async function run(config) {
  const variants = VARIANTS.filter(variant => variant === BARE || config.parts.includes(variant.name))
  const rounds = []
  const versions = {}
  const notes = new Set()
  for (let round = 0; round < config.socketsRounds; round++) {
    const measured = {}
    for (const variant of rotated(variants, round)) {
      const { versions: loaded, note, ...figures } = await once(variant, config)
      measured[variant.name] = figures
      versions['open loop'] = loaded
      if (note) notes.add(note)
      config.progress(
        `sockets ${round + 1}/${config.socketsRounds} ${variant.name}: ${fixed(figures.main, 1)} and ${fixed(figures.all - figures.main, 1)} µs of CPU a request, ` +
          `p99 ${fixed(figures.p99, 1)} ms, ${figures.scavenges} scavenges, ${figures.majors} major collections`
      )
    }
    rounds.push(measured)
  }
  const rows = variants.map(({ name, title }, at) => {
    const of = figure =>
      summary(rounds.map(round => figure(round[name], round[BARE.name], round[variants[at - 1]?.name])))
    const figures = [
      'main',
      'workers',
      'own',
      'p50',
      'p99',
      'p999',
      'lateP99',
      'loadBusy',
      'scavenges',
      'majors',
      'newSpace'
    ]
    return {
      name,
      title,
      ...Object.fromEntries(figures.map(figure => [figure, of(own => own[figure])])),
      moreMicros: of((own, bare) => own.all - bare.all),
      stepPercent: at === 0 ? null : of((own, bare, before) => ((own.all - before.all) / bare.all) * 100)
    }
  })
  const { socketsRate: rate, socketsSeconds: seconds, socketsWarmup: warmup, connections } = config
  return { rate, seconds, warmup, connections, rows, rounds, versions, notes: [...notes] }
}

function render({ rate, seconds, warmup, connections, rows, rounds, notes }) {
  const worst = figure => Math.max(...rows.map(row => row[figure].max))
  return [
    '### Open loop over loopback',
    '',
    table(
      [
        'CPU µs a request',
        'main thread',
        'V8’s workers, libuv’s pool',
        'plimsoll’s threads',
        'total, more than bare',
        'more than the row above, % of bare'
      ],
      rows.map(row => [
        row.title,
        spread(row.main, 1),
        spread(row.workers, 1),
        spread(row.own, 1),
        row.name === BARE.name ? '0' : spread(row.moreMicros, 1),
        row.stepPercent === null ? '' : spread(row.stepPercent, 1)
      ])
    ),
    '',
    table(
      ['', 'p50 ms', 'p99 ms', 'p99.9 ms', 'scavenges', 'major collections', 'new space at the end, MiB'],
      rows.map(row => [
        row.title,
        spread(row.p50, 1),
        spread(row.p99, 1),
        spread(row.p999, 1),
        spread(row.scavenges, 0),
        spread(row.majors, 0),
        spread(row.newSpace, 0)
      ])
    ),
    '',
    `Medians of ${counted(rounds.length, 'round')} (lowest to highest). In a round the servers run in turn, each in a fresh process. Each gets ${grouped(rate)} requests a second for ` +
      `${seconds} s, after ${warmup} s to warm up, over at most ${connections} connections. A third of the requests is plain, a third waits for a timer of 5 ms, and a third has a JSON body. ` +
      'CPU comes from `/proc/<pid>/task`. Differences are taken within a round. Latency counts from the time at which a request was due. The load generator has its own process. It sent ' +
      `at most ${fixed(worst('lateP99'), 1)} ms late (p99) and used at most ${fixed(worst('loadBusy') * 100, 0)} % of a core.`,
    ...notes.map(note => `\n**Note:** ${note}`)
  ].join('\n')
}

module.exports = {
  name: 'sockets',
  about: 'CPU by thread, latency and collections at a fixed rate, part by part',
  PARTS: VARIANTS.map(({ name }) => name),
  run,
  render
}
