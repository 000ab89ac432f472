'use strict'

/*
 * `npm run corpus`: each twin of the corpus under load with plimsoll, and on the same runs the rules of its peers.
 *
 *   npm run corpus -- [app …] [--seeds 3] [--node <binary>]… [--jobs 2]
 *
 * `--jobs`: apps at a time.
 * Without names, the tables go into docs/corpus.md. Exits with 1 where a leak was not found, or something was found that is not there.
 */

const { parseArgs } = require('node:util')
const corpus = require('../../corpus')
const { memwatch } = require('../../corpus/rules/memwatch.js')
const { nextLeak } = require('../../corpus/rules/next-leak.js')
const { count, inTurns, markdown, nodesOf, replaceSection } = require('./tables.js')
const { findable, fits, isWrong, run } = require('./watched.js')

const ROUNDS = 10
/** What has found nothing by then has not: a site takes a profile a second, twenty of them, and more on a machine under load. */
const DEADLINE_MS = 240_000
/** For so long at least a healthy app runs: by then a leak would have its verdict. */
const HEALTHY = { requests: 0, ms: 30_000 }
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

/** What one seed came to: `{ leaky?, healthy }`, each `{ found, fitting, wrong, rules }`. */
async function once(app, node, seed) {
  const options = { node: node.path, seed, rounds: ROUNDS, deadlineMs: DEADLINE_MS }
  const results = {}
  let atLeast = HEALTHY
  if (app.twins.includes('leaky')) {
    const leaky = await run(app, 'leaky', options)
    results.leaky = told(app, 'leaky', leaky)
    const { requests, ms } = leaky.found ?? leaky
    atLeast = { requests, ms: Math.max(ms, HEALTHY.ms) }
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

/** In how many of the runs, and after how many (lowest to highest). */
function often(figures, unit = '') {
  const there = figures.filter(figure => figure !== null).sort((a, b) => a - b)
  if (figures.length === 0) return '–'
  if (there.length === 0) return 'no'
  const share = there.length === figures.length ? '' : `${there.length} of ${figures.length}: `
  const [first, last] = [there[0], there.at(-1)]
  return `${share}${first === last ? first : `${first} to ${last}`}${unit}`
}

/** Whether something is to be found in its leaky twin on that Node. */
function isFaulty(app, { version }) {
  return app.expected.leak ? corpus.leaks(app, version) : findable(app)
}

function row(app, node, runs) {
  const leaky = runs.flatMap(run => run.leaky ?? [])
  const findings = new Map(
    leaky.flatMap(({ fitting }) => fitting).map(finding => [`${finding.kind} ${finding.origin}`, finding])
  )
  const names = [...findings.values()].map(({ kind, origin }) => `${kind} ${origin.split(/[\\/]/).at(-1)}`)
  const wrong = runs.flatMap(run => [...(run.leaky?.wrong ?? []), ...run.healthy.wrong])
  const expected = !isFaulty(app, node) ? 'nothing' : app.expected.leak ? 'leak' : 'waste'
  const seconds = leaky.map(({ found }) => (found === null ? null : Math.ceil(found.ms / 1000)))
  return [
    `[${app.name}](../corpus/apps/${app.name}.js)`,
    expected === 'nothing' ? expected : `${expected}, ${app.route}`,
    leaky.length === 0 ? '–' : names.join('<br>') || 'no',
    often(leaky.map(({ found }) => found?.requests ?? null)),
    often(seconds, ' s'),
    wrong.length === 0
      ? 'nothing'
      : `**${wrong.map(({ kind, route, origin }) => `${kind} ${route} ${origin}`).join('; ')}**`,
    ...Object.keys(RULES).flatMap(name => [
      often(leaky.map(({ rules }) => rules[name])),
      often(runs.map(({ healthy }) => healthy.rules[name]))
    ])
  ]
}

/** How often each was right: what is declared as waste is not counted, since it is no leak, and not healthy either. */
class Score {
  constructor() {
    this.leaking = 0
    this.healthy = 0
    this.wrong = { plimsoll: 0 }
    this.found = { plimsoll: 0 }
    for (const name of Object.keys(RULES)) this.found[name] = this.wrong[name] = 0
  }

  count(app, node, { leaky, healthy }) {
    const faulty = leaky !== undefined && app.expected.leak && isFaulty(app, node)
    this.leaking += faulty ? 1 : 0
    this.healthy += 1
    this.found.plimsoll += faulty && leaky.found !== null ? 1 : 0
    this.wrong.plimsoll += healthy.wrong.length > 0 ? 1 : 0
    for (const name of Object.keys(RULES)) {
      this.found[name] += faulty && leaky.rules[name] !== null ? 1 : 0
      this.wrong[name] += healthy.rules[name] !== null ? 1 : 0
    }
  }

  text() {
    const of = name =>
      `finds ${this.found[name]} of ${this.leaking} leaking runs, and takes ${this.wrong[name]} of ${this.healthy} healthy ones for leaks`
    const rules = Object.keys(RULES).map(name => `${name}'s rule ${of(name)}`)
    return `plimsoll ${of('plimsoll')}, by route and line; ${rules.join('; ')}`
  }
}

async function table(node, apps, { seeds, jobs }) {
  const titles = ['app', 'expected', 'plimsoll', 'after', 'in', 'otherwise']
  for (const name of Object.keys(RULES)) titles.push(name, `${name}, healthy`)
  const score = new Score()
  const rows = await inTurns(apps, jobs, async app => {
    const runs = []
    for (let seed = 1; seed <= seeds; seed++) runs.push(await once(app, node, seed))
    for (const run of runs) score.count(app, node, run)
    const missed = isFaulty(app, node) && runs.some(({ leaky }) => leaky?.found === null)
    if (missed || runs.some(({ leaky, healthy }) => [leaky, healthy].some(run => run?.wrong.length > 0))) {
      process.exitCode = 1
    }
    return row(app, node, runs)
  })
  const runs = seeds === 1 ? 'One seed' : `${seeds} seeds`
  return `## Node ${node.version}\n\n${runs}: ${score.text()}.\n\n${markdown(titles, rows)}\n`
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seeds: { type: 'string', default: '3' },
      jobs: { type: 'string', default: '2' },
      node: { type: 'string', multiple: true, default: [process.execPath] }
    }
  })
  const apps = positionals.length > 0 ? positionals.map(corpus.get) : corpus.apps
  const options = { seeds: count('seeds', values.seeds), jobs: count('jobs', values.jobs) }
  for (const node of nodesOf(values.node)) {
    const text = await table(node, apps, options)
    process.stdout.write(text)
    // After each, since it takes long.
    if (positionals.length === 0) replaceSection('tables', text)
  }
}

main()
