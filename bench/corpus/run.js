'use strict'

/*
 * Runs each twin of the corpus under load with Plimsoll, and applies the rules of other tools to the same runs.
 *
 *   npm run corpus -- [app …] [--seeds 3] [--node <binary>]… [--jobs 2]
 *
 * `--jobs` is the number of apps at a time. Without names, the tables go into docs/corpus.md. Exits with 1 if Plimsoll
 * misses a leak or reports a false one.
 */

const { parseArgs } = require('node:util')
const corpus = require('../../corpus')
const { memwatch } = require('../../corpus/rules/memwatch.js')
const { nextLeak } = require('../../corpus/rules/next-leak.js')
const { count, inParallel, markdown, nodesOf, replaceSection } = require('./tables.js')
const { findable, fits, isWrong, run } = require('./watched.js')

const ROUNDS = 10
/** Longer than any search: it takes twenty profiles, one a second, and more on a machine under load. */
const DEADLINE_MS = 240_000
/** The minimum for a healthy app. A leak would be reported within that time. */
const HEALTHY = { requests: 0, ms: 30_000 }
const RULES = { memwatch: heap => memwatch(heap), 'next-leak': (heap, requests) => nextLeak(heap, requests) }

/** The number of requests after which a rule first reports a leak, or `null`. */
function reportedAfter(rule, rounds) {
  const [{ requests }] = rounds
  const at = rounds.findIndex((_, i) => {
    const heap = rounds.slice(0, i + 1).map(({ heapUsed }) => heapUsed)
    return rule(heap, requests)
  })
  return at === -1 ? null : rounds[at].requests
}

/** The results of one seed: `{ leaky?, healthy }`, each `{ found, fitting, wrong, rules }`. */
async function once(app, node, seed) {
  const options = { node: node.path, seed, rounds: ROUNDS, deadlineMs: DEADLINE_MS }
  const results = {}
  let atLeast = HEALTHY
  if (app.twins.includes('leaky')) {
    const leaky = await run(app, 'leaky', options)
    results.leaky = evaluate(app, 'leaky', leaky)
    const { requests, ms } = leaky.found ?? leaky
    atLeast = { requests, ms: Math.max(ms, HEALTHY.ms) }
  }
  results.healthy = evaluate(app, 'healthy', await run(app, 'healthy', { ...options, atLeast }))
  return results
}

function evaluate(app, twin, { found, findings, rounds }) {
  const rules = Object.entries(RULES).map(([name, rule]) => [name, reportedAfter(rule, rounds)])
  const wrong = findings.filter(finding => isWrong(app, twin, finding))
  const fitting = findings.filter(finding => fits(app, finding))
  return { found, fitting, wrong, rules: Object.fromEntries(rules) }
}

/** `2 of 3: 420 to 600`: in how many runs a leak was reported, and after how many requests or seconds. */
function often(figures, unit = '') {
  const there = figures.filter(figure => figure !== null).sort((a, b) => a - b)
  if (figures.length === 0) return '–'
  if (there.length === 0) return 'no'
  const share = there.length === figures.length ? '' : `${there.length} of ${figures.length}: `
  const [first, last] = [there[0], there.at(-1)]
  return `${share}${first === last ? first : `${first} to ${last}`}${unit}`
}

/** Whether the leaky twin has a leak or waste to find, on that Node. */
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

/** How often each tool was right. Apps that only waste memory are not counted, since they neither leak nor are healthy. */
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
      `finds ${this.found[name]} of ${this.leaking} leaks, and reports a leak in ${this.wrong[name]} of ${this.healthy} healthy runs`
    const rules = Object.keys(RULES).map(name => `The rule of ${name} ${of(name)}`)
    return [`Plimsoll ${of('plimsoll')}, by route and line`, ...rules].join('. ')
  }
}

async function table(node, apps, { seeds, jobs }) {
  const titles = ['app', 'expected', 'plimsoll', 'after', 'in', 'otherwise']
  for (const name of Object.keys(RULES)) titles.push(name, `${name}, healthy`)
  const score = new Score()
  const rows = await inParallel(apps, jobs, async app => {
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
    // After each Node, since a run takes long.
    if (positionals.length === 0) replaceSection('tables', text)
  }
}

main()
