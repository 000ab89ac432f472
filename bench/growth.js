'use strict'

const { BARE, choose } = require('./harness/subjects')
const Server = require('./harness/server')
const { summary } = require('./harness/stats')
const { counted, fixed, grouped, spread, table } = require('./harness/table')

// Each server takes as long as these two. --servers adds others.
const DEFAULT_SERVERS = ['bare', 'plimsoll-limit']

async function once(subject, from, config) {
  const server = await Server.start(subject, { ...config, args: ['--expose-gc'] })
  try {
    await server.load(from, config)
    const start = await server.heap()
    await server.load(config.requests - from, config)
    const end = await server.heap()
    const { note } = await server.state()
    return {
      note,
      start,
      end,
      bytes: end.heapUsed - start.heapUsed,
      perRequest: (end.heapUsed - start.heapUsed) / (config.requests - from)
    }
  } finally {
    await server.end()
  }
}

async function run(config) {
  const subjects = choose(config.serversGiven ? config.servers : DEFAULT_SERVERS, 'growth')
  const from = Math.round(config.requests / 5)
  const rounds = []
  const notes = new Set()
  for (let round = 0; round < config.growthRounds; round++) {
    const measured = {}
    for (const subject of subjects) {
      config.progress(
        `growth ${round + 1}/${config.growthRounds} ${subject.name}: ${grouped(config.requests)} requests`
      )
      const figures = await once(subject, from, config)
      if (figures.note) notes.add(figures.note)
      measured[subject.name] = figures
      config.progress(
        `growth ${round + 1}/${config.growthRounds} ${subject.name}: ` +
          `${grouped(figures.bytes)} bytes, ${fixed(figures.perRequest, 3)} a request`
      )
    }
    rounds.push(measured)
  }
  const rows = subjects.map(({ name, title }) => {
    const of = figure => summary(rounds.map(round => figure(round[name], round[BARE.name])))
    return {
      name,
      title,
      start: of(own => own.start.heapUsed),
      end: of(own => own.end.heapUsed),
      perRequest: of(own => own.perRequest),
      morePerRequest: of((own, bare) => own.perRequest - bare.perRequest),
      rss: of(own => own.end.rss)
    }
  })
  return { from, requests: config.requests, rows, rounds, notes: [...notes] }
}

function render({ from, requests, rows, rounds, notes }) {
  const mib = bytes => `${fixed(bytes / 1048576, 2)} MiB`
  return [
    `### JavaScript heap from ${grouped(from)} to ${grouped(requests)} requests`,
    '',
    table(
      ['server', 'bytes a request', 'more than bare', 'heap before', 'heap after', 'RSS after'],
      rows.map(row => [
        row.title,
        spread(row.perRequest, 3),
        row.name === BARE.name ? '0' : spread(row.morePerRequest, 3),
        mib(row.start.median),
        mib(row.end.median),
        mib(row.rss.median)
      ])
    ),
    '',
    `Medians of ${counted(rounds.length, 'run')} (lowest to highest), each in a fresh process. Heap is \`heapUsed\` when forced collections ` +
      'free no more memory and no connection is open.',
    ...notes.map(note => `\n**Note:** ${note}`)
  ].join('\n')
}

module.exports = { name: 'growth', about: 'growth of the JavaScript heap over a million requests', run, render }
