'use strict'

/*
 * `npm run corpus`: each twin of the corpus under load with plimsoll, and on the same runs the rules of its peers.
 *
 *   npm run corpus -- [app …] [--seeds 3] [--node <binary>]… [--memlab]
 *
 * Without names, the tables go into docs/corpus.md.
 */

const { execFileSync } = require('node:child_process')
const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { parseArgs } = require('node:util')
const corpus = require('../../corpus')
const { memwatch } = require('../../corpus/rules/memwatch.js')
const { nextLeak } = require('../../corpus/rules/next-leak.js')
const { memlab } = require('./memlab.js')
const { findable, fits, isWrong, run } = require('./watched.js')

const FILE = join(__dirname, '..', '..', 'docs', 'corpus.md')
const TABLES = /(<!-- tables -->\n)([\s\S]*)(<!-- \/tables -->)/
const ROUNDS = 10
/** In one run of the table; a watcher that has found nothing by then has not. */
const DEADLINE_MS = 45_000
const RULES = { memwatch: heap => memwatch(heap), 'next-leak': (heap, requests) => nextLeak(heap, requests) }

/** Requests until a rule first spoke, round by round; `null` where it did not. */
function spoke(rule, rounds) {
  const [{ requests }] = rounds
  const at = rounds.findIndex((_, i) => {
    const heap = rounds.slice(0, i + 1).map(({ heapUsed }) => heapUsed)
    return rule(heap, requests)
  })
  return at === -1 ? null : rounds[at].requests
}

/** What one seed came to: `{ leaky?, healthy }`, each `{ found, wrong, rules }`. */
async function once(app, node, seed) {
  const options = { node: node.path, seed, rounds: ROUNDS, deadlineMs: DEADLINE_MS }
  const results = {}
  let atLeast
  if (app.twins.includes('leaky')) {
    const leaky = await run(app, 'leaky', options)
    results.leaky = told(app, 'leaky', leaky)
    atLeast = leaky.found ?? undefined
  }
  results.healthy = told(app, 'healthy', await run(app, 'healthy', { ...options, atLeast }))
  return results
}

function told(app, twin, { found, findings, rounds }) {
  const rules = Object.entries(RULES).map(([name, rule]) => [name, spoke(rule, rounds)])
  const wrong = findings.filter(finding => isWrong(app, twin, finding))
  const fitting = findings.filter(finding => fits(app, finding))
  return { found, fitting, wrong, rules: Object.fromEntries(rules) }
}

/** In how many of the runs, and after how many requests (lowest to highest). */
function often(figures) {
  const there = figures.filter(figure => figure !== null).sort((a, b) => a - b)
  if (figures.length === 0) return '–'
  if (there.length === 0) return 'no'
  const share = there.length === figures.length ? '' : `${there.length} of ${figures.length}: `
  return there[0] === there.at(-1) ? `${share}${there[0]}` : `${share}${there[0]} to ${there.at(-1)}`
}

function row(app, node, runs, lab) {
  const leaky = runs.flatMap(run => run.leaky ?? [])
  const faulty = app.expected.leak ? corpus.leaks(app, node.version) : findable(app)
  const findings = new Map(
    leaky.flatMap(({ fitting }) => fitting).map(finding => [`${finding.kind} ${finding.origin}`, finding])
  )
  const names = [...findings.values()].map(({ kind, origin }) => `${kind} ${origin.split(/[\\/]/).at(-1)}`)
  const wrong = runs.flatMap(run => [...(run.leaky?.wrong ?? []), ...run.healthy.wrong])
  const expected = !faulty ? 'nothing' : app.expected.leak ? 'leak' : 'waste'
  return [
    `[${app.name}](../corpus/apps/${app.name}.js)`,
    faulty ? `${expected}, ${app.route}` : expected,
    leaky.length === 0 ? '–' : names.join('<br>') || 'no',
    leaky.length === 0 ? '–' : often(leaky.map(({ found }) => found?.requests ?? null)),
    wrong.length === 0
      ? 'nothing'
      : `**${wrong.map(({ kind, route, origin }) => `${kind} ${route} ${origin}`).join('; ')}**`,
    ...Object.keys(RULES).flatMap(name => [
      often(leaky.map(({ rules }) => rules[name])),
      often(runs.map(({ healthy }) => healthy.rules[name]))
    ]),
    ...(lab ? [lab.leaky ?? '–', lab.healthy] : [])
  ]
}

async function withMemlab(app, node) {
  const cells = {}
  for (const twin of app.twins) {
    const classes = await memlab(app, twin, { node: node.path })
    cells[twin] = classes.length === 0 ? 'no' : classes.join(', ')
  }
  return cells
}

async function table(node, apps, { seeds, lab }) {
  const titles = ['app', 'expected', 'plimsoll', 'after', 'otherwise']
  for (const name of [...Object.keys(RULES), ...(lab ? ['memlab'] : [])]) titles.push(name, `${name}, healthy`)
  const rows = [titles, titles.map(() => '---')]
  const right = Object.fromEntries(Object.keys(RULES).map(name => [name, { found: 0, false: 0 }]))
  const runsOf = { leaky: 0, healthy: 0 }
  for (const app of apps) {
    const runs = []
    for (let seed = 1; seed <= seeds; seed++) runs.push(await once(app, node, seed))
    for (const { leaky, healthy } of runs) {
      // What is declared as waste is not counted: it is no leak, and not healthy either.
      if (leaky && corpus.leaks(app, node.version)) runsOf.leaky += 1
      runsOf.healthy += 1
      for (const name of Object.keys(RULES)) {
        if (leaky && corpus.leaks(app, node.version) && leaky.rules[name] !== null) right[name].found += 1
        if (healthy.rules[name] !== null) right[name].false += 1
      }
    }
    rows.push(row(app, node, runs, lab ? await withMemlab(app, node) : null))
    process.stderr.write(`${rows.at(-1).join(' | ')}\n`)
  }
  const sums = Object.entries(right).map(
    ([name, { found, false: wrong }]) =>
      `${name}'s rule finds ${found} of ${runsOf.leaky} leaking runs, and takes ${wrong} of ${runsOf.healthy} healthy ones for leaks`
  )
  const runs = seeds === 1 ? 'One seed' : `${seeds} seeds`
  return `## Node ${node.version}\n\n${runs}: ${sums.join('; ')}.\n\n${rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')}\n`
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seeds: { type: 'string', default: '3' },
      node: { type: 'string', multiple: true, default: [process.execPath] },
      memlab: { type: 'boolean', default: false }
    }
  })
  const apps = positionals.length > 0 ? positionals.map(corpus.get) : corpus.apps
  const seeds = Number(values.seeds)
  if (!Number.isInteger(seeds) || seeds < 1) throw new Error(`--seeds takes a number from 1 on, not ${values.seeds}`)
  for (const path of values.node) {
    const version = execFileSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim()
    const text = await table({ path, version }, apps, { seeds, lab: values.memlab })
    process.stdout.write(text)
    // After each, since it takes long.
    if (positionals.length === 0) write(text)
  }
}

/** In place of the section of the same major version; those of others stay. */
function write(text) {
  const major = section => Number.parseInt(section.replace('Node ', ''), 10)
  const replaced = readFileSync(FILE, 'utf8').replace(TABLES, (_, begin, before, end) => {
    const sections = [...before.split(/^## /m).slice(1), text.replace('## ', '')].map(section => section.trim())
    const latest = new Map(sections.map(section => [major(section), section]))
    const sorted = [...latest].sort(([a], [b]) => a - b).map(([, section]) => `## ${section}\n`)
    return `${begin}\n${sorted.join('\n')}\n${end}`
  })
  writeFileSync(FILE, replaced)
}

main()
