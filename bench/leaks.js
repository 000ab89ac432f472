'use strict'

const path = require('node:path')
const Child = require('./harness/child')
const { shuffled } = require('./harness/subjects')
const { mean, median, summary } = require('./harness/stats')
const { counted, fixed, spread, table } = require('./harness/table')

const LOOP = path.join(__dirname, 'programs', 'loop.js')
const FILE = path.join(__dirname, 'servers', 'leaks.js')
const BATCHES_A_TURN = 4

/** `beside`: the variant that it is compared with. */
const VARIANTS = [
  { name: 'off', title: 'steady, `leaks: false`' },
  { name: 'trend', title: 'steady, `leaks: true`', beside: 'off' },
  { name: 'leaking-off', title: 'leaking, `leaks: false`' },
  { name: 'leaking-trend', title: 'leaking, `{ sites: false }`', beside: 'leaking-off' },
  { name: 'leaking-sites', title: 'leaking, `leaks: true`', beside: 'leaking-off' }
]
const PARTS = ['in total', 'V8 creates the profile', 'JavaScript flattens it', 'Rust evaluates it']

// The variants run in turn, each in its own process. Batches count only while `leaking-sites` takes profiles.
async function round(config) {
  const children = new Map()
  try {
    for (const { name } of VARIANTS) {
      children.set(name, new Child(config.node, [LOOP, FILE], { env: { ...config.env, LEAKS: name } }))
    }
    let batch = 0
    for (const child of children.values()) batch = (await child.next(60, 'its start')).batch
    const micros = Object.fromEntries(VARIANTS.map(({ name }) => [name, []]))
    const searching = children.get('leaking-sites')
    let turns = 0
    for (let at = 0; turns < config.leakTurns && at < 40 * config.leakTurns; at++) {
      const before = (await searching.ask('state', 60)).profiles.length
      const answers = {}
      for (const { name } of shuffled(VARIANTS))
        answers[name] = await children.get(name).ask(String(BATCHES_A_TURN), 60)
      const warm = at * BATCHES_A_TURN * batch >= config.loopWarmup
      if (!warm || before === 0) continue
      turns += 1
      for (const { name } of VARIANTS) micros[name].push(...answers[name].micros)
    }
    const { profiles } = await searching.ask('state', 60)
    return { micros, profiles }
  } finally {
    await Promise.all([...children.values()].map(child => child.end()))
  }
}

async function run(config) {
  const rounds = []
  for (let at = 0; at < config.leakRounds; at++) {
    const measured = await round(config)
    rounds.push(measured)
    const figures = VARIANTS.map(({ name }) => `${name} ${fixed(median(measured.micros[name]), 1)}`)
    config.progress(`leaks ${at + 1}/${config.leakRounds}, µs of CPU a request: ${figures.join(', ')}`)
  }
  const rows = VARIANTS.map(({ name, title, beside }) => {
    const part = middle =>
      summary(rounds.map(({ micros }) => (middle(micros[name]) / middle(micros[beside]) - 1) * 100))
    return {
      name,
      title,
      beside,
      micros: summary(rounds.map(({ micros }) => median(micros[name]))),
      more: beside && part(median),
      meanMore: beside && part(mean)
    }
  })
  const profiles = rounds.flatMap(({ profiles }) => profiles)
  const stalls = PARTS.map((title, at) => ({ title, ms: summary(profiles.map(parts => parts[at])) }))
  return { rows, stalls, profiles: profiles.length, rounds: rounds.length }
}

function render({ rows, stalls, profiles, rounds }) {
  const none = beside => (beside ? null : '')
  return [
    '### Cost of leak detection',
    '',
    table(
      ['in one process, without sockets', 'CPU µs a request', 'more, %', 'with collections and profiles, %'],
      rows.map(({ title, micros, beside, more, meanMore }) => [
        title,
        spread(micros, 1),
        none(beside) ?? spread(more, 1),
        none(beside) ?? spread(meanMore, 1)
      ])
    ),
    '',
    table(
      ['a profile pauses the event loop', 'ms'],
      stalls.map(({ title, ms }) => [title, spread(ms, 1)])
    ),
    '',
    `Medians of ${counted(rounds, 'round')} (lowest to highest), and of ${counted(profiles, 'profile')}. Each app has 400,000 other live objects and collects every 400 requests. ` +
      'The apps run in turn. Only batches during the profiling session count.'
  ].join('\n')
}

module.exports = {
  name: 'leaks',
  about: 'the cost of leak detection, and how long a profile pauses the event loop',
  run,
  render
}
