'use strict'

const path = require('node:path')
const { race } = require('./inprocess')
const { rotated } = require('./harness/subjects')
const Server = require('./harness/server')
const { median, mean, summary } = require('./harness/stats')
const { counted, fixed, spread, table } = require('./harness/table')

const FILE = path.join(__dirname, 'servers', 'watch.js')

/** `beside`: the variant that it is compared with. Default: the bare app. */
const VARIANTS = [
  { name: 'bare', title: 'bare Express 5' },
  { name: 'plimsoll', title: '`plimsoll()`' },
  { name: 'scope', title: '`scope()`, not used' },
  { name: 'defer', title: '`scope()`, one deferred function' },
  { name: 'listeners', title: '`watchListeners()`' },
  { name: 'pool-unwatched', title: 'a connection acquired and released' },
  { name: 'pool', title: 'the same with `watchPool()`', beside: 'pool-unwatched' },
  { name: 'timers', title: '`plimsoll({ watch: { timers: true } })`', beside: 'plimsoll' },
  { name: 'streams', title: '`{ streams: true }`', beside: 'plimsoll' },
  { name: 'retained', title: '`{ retained: true }`', beside: 'plimsoll' },
  { name: 'largeProperties', title: '`{ largeProperties: true }`', beside: 'plimsoll' },
  { name: 'all', title: '`plimsoll({ watch: true })`, `watchListeners()`, `scope()`', beside: 'plimsoll' }
]
const OVER_SOCKETS = ['bare', 'plimsoll', 'all']

const subjectsOf = names => names.map(name => ({ name, title: name, file: FILE, env: { WATCH: name } }))

async function run(config) {
  const loops = []
  for (let round = 0; round < config.watchRounds; round++) {
    const { micros } = await race(subjectsOf(VARIANTS.map(({ name }) => name)), { ...config, turns: config.watchTurns })
    loops.push(micros)
    const figures = VARIANTS.map(({ name }) => `${name} ${fixed(median(micros[name]), 1)}`)
    config.progress(`watch ${round + 1}/${config.watchRounds}, µs of CPU a request: ${figures.join(', ')}`)
  }
  const rows = VARIANTS.map(({ name, title, beside = 'bare' }) => {
    const more = middle => summary(loops.map(round => middle(round[name]) - middle(round[beside])))
    return {
      name,
      title,
      beside,
      micros: summary(loops.map(round => median(round[name]))),
      more: more(median),
      meanMore: more(mean)
    }
  })
  return { rows, rounds: config.watchRounds, sockets: await overSockets(config) }
}

/** Requests a second over real sockets, since some watchers belong to sockets. Each round has fresh processes. */
async function overSockets(config) {
  const rounds = []
  for (let round = 0; round < config.watchRounds; round++) {
    const measured = {}
    for (const subject of rotated(subjectsOf(OVER_SOCKETS), round)) {
      const server = await Server.start(subject, { ...config, env: { ...config.env, ...subject.env } })
      try {
        await server.load(config.warmup, config)
        const { amount, seconds, cpu } = await server.load(config.amount, config)
        measured[subject.name] = { perSecond: amount / seconds, cpu: (cpu / amount) * 1e6 }
      } finally {
        await server.end()
      }
    }
    rounds.push(measured)
    const figures = OVER_SOCKETS.map(name => `${name} ${fixed(measured[name].perSecond, 0)}/s`)
    config.progress(`watch over sockets ${round + 1}/${config.watchRounds}: ${figures.join(', ')}`)
  }
  return OVER_SOCKETS.map(name => ({
    name,
    throughput: summary(rounds.map(round => round[name].perSecond / round.bare.perSecond)),
    beside: summary(rounds.map(round => round[name].perSecond / round.plimsoll.perSecond)),
    cpu: summary(rounds.map(round => round[name].cpu))
  }))
}

function render({ rows, rounds, sockets }) {
  const titleOf = name => VARIANTS.find(variant => variant.name === name).title
  return [
    '### Cost of scopes and watchers',
    '',
    table(
      ['in one process, without sockets', 'CPU µs a request', 'more', 'than', 'mean more'],
      rows.map(({ title, beside, name, micros, more, meanMore }) => [
        title,
        spread(micros, 1),
        name === 'bare' ? '0' : spread(more, 1),
        name === 'bare' ? '' : titleOf(beside),
        name === 'bare' ? '0' : spread(meanMore, 1)
      ])
    ),
    '',
    table(
      ['over sockets', 'throughput to bare', 'to `plimsoll()`', 'CPU µs a request'],
      sockets.map(({ name, throughput, beside, cpu }) => [
        titleOf(name),
        spread(throughput, 2),
        spread(beside, 2),
        spread(cpu, 0)
      ])
    ),
    '',
    `Medians of ${counted(rounds, 'round')} (lowest to highest). In the first table, a figure is the median batch of 50 requests. “mean” is the mean ` +
      'of all batches, with collections and samples.'
  ].join('\n')
}

module.exports = { name: 'watch', about: 'the cost of scopes and watchers', run, render }
