'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { execFileSync } = require('node:child_process')
const { race } = require('./inprocess')
const { median, mean, summary } = require('./harness/stats')
const { counted, fixed, spread, table } = require('./harness/table')

const FILE = path.join(__dirname, 'servers', 'spans.js')
const NODES = path.join(__dirname, '..', '.node-versions', 'node_modules')

const VARIANTS = [
  { name: 'bare', title: 'bare Express 5', options: null },
  { name: 'off', title: '`plimsoll({ async: false })`', options: { async: false } },
  { name: 'sampled', title: '`plimsoll()`', options: {} },
  { name: 'layers', title: '`plimsoll({ layers: true })`', options: { layers: true } },
  { name: 'always', title: '`plimsoll({ async: true })`', options: { async: true } }
]
const HANDLERS = [
  { awaits: 0, title: 'synchronous' },
  { awaits: 10, title: 'ten awaits' }
]

/** This Node, and those that scripts/node-versions.sh installs. */
function nodes(own) {
  const installed = fs.existsSync(NODES) ? fs.readdirSync(NODES).filter(name => /^node\d+$/.test(name)) : []
  const found = [own, ...installed.map(name => path.join(NODES, name, 'bin', 'node'))]
  return found.map(file => ({
    file,
    version: execFileSync(file, ['-p', 'process.version'], { encoding: 'utf8' }).trim()
  }))
}

async function run(config) {
  const rows = []
  for (const { file: node, version } of nodes(config.node)) {
    for (const { awaits, title } of HANDLERS) {
      const subjects = VARIANTS.map(({ name, options }) => ({
        name,
        file: FILE,
        env: { SPANS: JSON.stringify({ options, awaits }) }
      }))
      const rounds = []
      for (let round = 0; round < config.spanRounds; round++) {
        const { micros } = await race(subjects, { ...config, node, turns: config.spanTurns })
        rounds.push(micros)
      }
      const figures = {}
      for (const { name } of VARIANTS) {
        const more = middle => summary(rounds.map(round => middle(round[name]) - middle(round.bare)))
        figures[name] = {
          micros: summary(rounds.map(round => median(round[name]))),
          more: more(median),
          meanMore: more(mean)
        }
      }
      rows.push({ version, title, figures })
      config.progress(
        `spans, Node ${version}, ${title}: ${VARIANTS.map(({ name }) => `${name} ${fixed(figures[name].micros.median, 1)}`).join(', ')}`
      )
    }
  }
  return { rows, rounds: config.spanRounds }
}

function render({ rows, rounds }) {
  const [, ...variants] = VARIANTS
  return [
    '### Cost of metering, by Node version',
    '',
    table(
      ['Node, handler', 'bare, µs', ...variants.map(variant => `${variant.title}, µs more`)],
      rows.map(({ version, title, figures }) => [
        `${version}, ${title}`,
        fixed(figures.bare.micros.median, 1),
        ...variants.map(
          ({ name }) => `${spread(figures[name].more, 1)}; mean ${fixed(figures[name].meanMore.median, 1)}`
        )
      ])
    ),
    '',
    `CPU per request in one process, without sockets: medians of ${counted(rounds, 'round')} (lowest to highest). ` +
      'A figure is the median batch of 50 requests. “mean” is the mean of all batches, with collections and, for `plimsoll()`, the windows.'
  ].join('\n')
}

module.exports = {
  name: 'spans',
  about: 'the cost of metering by its options, on every installed Node',
  run,
  render
}
