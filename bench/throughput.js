'use strict'

const { BARE, choose, rotated } = require('./harness/subjects')
const Server = require('./harness/server')
const { summary } = require('./harness/stats')
const { counted, fixed, grouped, spread, table } = require('./harness/table')

async function once(subject, config) {
  const server = await Server.start(subject, config)
  try {
    await server.load(config.warmup, config)
    const { amount, seconds, cpu, loadCpu } = await server.load(config.amount, config)
    const { note } = await server.state()
    return {
      versions: server.versions,
      note,
      perSecond: amount / seconds,
      cpuMicros: (cpu / amount) * 1e6,
      // Far below 1, the load generator or other work limits the requests a second.
      busy: cpu / seconds,
      loadBusy: loadCpu / seconds
    }
  } finally {
    await server.end()
  }
}

async function run(config) {
  const subjects = choose(config.servers, 'throughput')
  const rounds = []
  const versions = {}
  const notes = new Set()
  for (let round = 0; round < config.rounds; round++) {
    const measured = {}
    for (const subject of rotated(subjects, round)) {
      const { versions: loaded, note, ...figures } = await once(subject, config)
      measured[subject.name] = figures
      versions[subject.title] = loaded
      if (note) notes.add(note)
      config.progress(
        `throughput ${round + 1}/${config.rounds} ${subject.name}: ` +
          `${grouped(figures.perSecond)} req/s, ${fixed(figures.cpuMicros, 1)} µs of CPU a request`
      )
    }
    rounds.push(measured)
  }

  const rows = subjects.map(({ name, title }) => {
    const of = figure => summary(rounds.map(round => figure(round[name], round[BARE.name])))
    return {
      name,
      title,
      perSecond: of(own => own.perSecond),
      ratio: of((own, bare) => own.perSecond / bare.perSecond),
      cpuMicros: of(own => own.cpuMicros),
      moreMicros: of((own, bare) => own.cpuMicros - bare.cpuMicros),
      busy: of(own => own.busy)
    }
  })
  const { amount, connections, warmup } = config
  return { amount, connections, warmup, rows, rounds, versions, notes: [...notes] }
}

function render({ amount, connections, warmup, rows, rounds, notes }) {
  const idle = rows.filter(row => row.busy.median < 0.85)
  return [
    '### Throughput and CPU over loopback',
    '',
    table(
      ['server', 'requests/s', 'ratio to bare', 'CPU µs a request', 'more than bare, µs', 'server busy'],
      rows.map(row => [
        row.title,
        grouped(row.perSecond.median),
        row.name === BARE.name ? '1' : spread(row.ratio, 2),
        spread(row.cpuMicros, 1),
        row.name === BARE.name ? '0' : spread(row.moreMicros, 1),
        `${fixed(row.busy.median * 100, 0)} %`
      ])
    ),
    '',
    `Medians of ${counted(rounds.length, 'round')} (lowest to highest). In a round the servers run in turn, each in a fresh process. ` +
      `Each gets ${grouped(amount)} requests over ${connections} connections, after ${grouped(warmup)} to warm up. ` +
      'Ratio and difference are taken within a round. CPU is that of the whole process, from `/proc`. ' +
      'Busy is CPU time divided by wall time.',
    ...(idle.length === 0
      ? []
      : [
          `\n**Not busy, so they were not the bottleneck: ${idle.map(row => row.title).join(', ')}.** ` +
            'Compare their CPU, not their requests a second.'
        ]),
    ...notes.map(note => `\n**Note:** ${note}`)
  ].join('\n')
}

module.exports = {
  name: 'throughput',
  about: 'requests a second and CPU per request, compared with the peers',
  run,
  render
}
