'use strict'

const path = require('node:path')
const Child = require('./harness/child')
const { BARE, choose, shuffled } = require('./harness/subjects')
const { mean, median, summary } = require('./harness/stats')
const { counted, fixed, spread, table } = require('./harness/table')

const LOOP = path.join(__dirname, 'programs', 'loop.js')
const BATCHES_A_TURN = 4

// Starts each subject in its own process, so that they do not influence each other's compiled code or heap. The subjects
// take turns of some milliseconds, so that other work on the machine affects all of them equally.
async function race(subjects, config) {
  const { node, env, turns, loopWarmup } = config
  const children = new Map()
  try {
    for (const { name, file, env: own } of subjects)
      children.set(name, new Child(node, [LOOP, file], { env: { ...env, ...own } }))
    let batch = 0
    for (const child of children.values()) batch = (await child.next(60, 'its start')).batch

    const warmups = Math.ceil(loopWarmup / batch / BATCHES_A_TURN)
    const micros = Object.fromEntries(subjects.map(({ name }) => [name, []]))
    for (let turn = -warmups; turn < turns; turn++) {
      for (const { name } of shuffled(subjects)) {
        const answer = await children.get(name).ask(String(BATCHES_A_TURN), 60)
        if (turn >= 0) micros[name].push(...answer.micros)
      }
    }

    const notes = []
    for (const child of children.values()) notes.push((await child.ask('check', 60)).note)
    return { micros, notes: notes.filter(Boolean), batch }
  } finally {
    await Promise.all([...children.values()].map(child => child.end()))
  }
}

async function run(config) {
  const subjects = choose(config.servers, 'inprocess')
  // The bare app runs twice. The difference between the two is the resolution of the measurement.
  const again = { ...BARE, name: 'bare again', title: 'the bare app again' }
  subjects.splice(1, 0, again)
  const rounds = []
  const notes = new Set()
  let requests = 0
  for (let round = 0; round < config.loopRounds; round++) {
    const { micros, notes: said, batch } = await race(subjects, config)
    requests = batch * BATCHES_A_TURN * config.turns
    const measured = {}
    for (const { name } of subjects) measured[name] = { median: median(micros[name]), mean: mean(micros[name]) }
    rounds.push(measured)
    for (const note of said) notes.add(note)
    const figures = subjects.map(({ name }) => `${name} ${fixed(measured[name].median, 1)}`)
    config.progress(`inprocess ${round + 1}/${config.loopRounds}, µs of CPU a request: ${figures.join(', ')}`)
  }

  const rows = subjects.map(({ name, title }) => {
    const of = figure => summary(rounds.map(round => figure(round[name], round[BARE.name])))
    return {
      name,
      title,
      micros: of(own => own.median),
      more: of((own, bare) => own.median - bare.median),
      moreWithCollections: of((own, bare) => own.mean - bare.mean)
    }
  })
  return { requests, rows, rounds, notes: [...notes] }
}

function render({ requests, rows, rounds, notes }) {
  return [
    '### CPU of a request in one process, without sockets',
    '',
    table(
      ['app', 'CPU µs a request', 'more than bare, µs', 'with collections, µs'],
      rows.map(row => [
        row.title,
        spread(row.micros, 1),
        row.name === BARE.name ? '0' : spread(row.more, 1),
        row.name === BARE.name ? '0' : spread(row.moreWithCollections, 1)
      ])
    ),
    '',
    `Medians of ${counted(rounds.length, 'round')} (lowest to highest) of ${requests} requests per app. In a round each app has a fresh process, ` +
      'and the apps take turns of some 20 ms. The figure of a round is the median batch of 50 requests, which has no ' +
      'garbage collection. The last column is the mean of all batches instead. The bare app runs twice: the difference ' +
      'is the resolution of the measurement.',
    ...notes.map(note => `\n**Note:** ${note}`)
  ].join('\n')
}

module.exports = { name: 'inprocess', about: 'CPU of a request in one process, without sockets', run, render, race }
