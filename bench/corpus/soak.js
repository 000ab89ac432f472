'use strict'

/*
 * Runs `plimsoll.soak()` on each twin of the corpus.
 *
 *   npm run corpus:soak -- [app …] [--node <binary>] [--busy]
 *
 * `--busy` runs a busy loop for each core at the same time. Without names, the table goes into docs/soak.md. Exits with 1
 * if a verdict is wrong. A leaky twin must fail by its own route only, a healthy one must pass, and a known size must be
 * measured within 3 %.
 */

const { execFileSync, spawn } = require('node:child_process')
const { readFileSync, writeFileSync } = require('node:fs')
const { availableParallelism } = require('node:os')
const { join } = require('node:path')
const { parseArgs } = require('node:util')
const plimsoll = require('../..')
const corpus = require('../../corpus')

const ROOT = join(__dirname, '..', '..')
const FILE = join(ROOT, 'docs', 'soak.md')
const TABLES = /(<!-- tables -->\n)([\s\S]*)(<!-- \/tables -->)/
const FIGURES = /<!-- figures -->\n([\s\S]*)<!-- \/figures -->/
const PING = 'GET /ping'
const WITHIN = 0.03

/** The load of the app as options of `soak`. */
function optionsOf(app, twin, node) {
  const { connections, path, body, abort, statuses, hold, idle } = app.load
  const route = { route: app.route }
  if (path) route.path = path
  if (body) route.body = body
  if (abort) route.abort = abort
  if (statuses.length > 0) route.status = [200, ...statuses]
  const beside = []
  if (hold) beside.push({ route: `GET ${hold.path}`, hold: hold.count })
  if (idle) beside.push({ route: PING, idle })
  return { routes: [route, PING, ...beside], connections, args: [app.file, twin], cwd: ROOT, node }
}

/** The difference from the expected result, or `null`. */
function problem(app, leaks, result) {
  const verdicts = Object.fromEntries(result.routes.map(({ route, verdict }) => [route, verdict]))
  if (verdicts[PING] !== 'passed') return `${PING} ${verdicts[PING]}`
  if (verdicts[app.route] !== (leaks ? 'failed' : 'passed')) return `${app.route} ${verdicts[app.route]}`
  const { bytesPerRequest } = app.expected
  if (!leaks || bytesPerRequest === undefined) return null
  const { value } = result.routes[0].bytesPerRequest
  return Math.abs(value / bytesPerRequest - 1) > WITHIN ? `${value} B, not ${bytesPerRequest}` : null
}

/** The ground truth for an app, from the table in the README of the corpus. */
function truths() {
  const rows = FIGURES.exec(readFileSync(join(ROOT, 'corpus', 'README.md'), 'utf8'))[1]
    .trim()
    .split('\n')
  const [titles, , ...cells] = rows.map(row =>
    row
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim())
  )
  return (app, twin, version) => {
    const row = cells.find(([name]) => name.startsWith(`[${app.name}]`))
    const column = titles.findIndex(title => title.startsWith(`${twin}, Node ${Number.parseInt(version, 10)}.`))
    return column === -1 ? '' : row[column].replace(/ \/ [^/]*?(?=$| ·)/, '')
  }
}

const whole = value => (Math.round(value) === 0 ? '0' : Math.round(value).toLocaleString('en'))

/** The bytes per request with their interval, and everything else that grows. */
function found({ bytesPerRequest: { value, low, high }, quantities }) {
  const others = Object.entries(quantities).filter(([, { unit, verdict }]) => unit === 'count' && verdict === 'over')
  const counted = others.map(([name, { perRequest }]) => `${Number(perRequest.toFixed(2))} ${name}`)
  return [`${whole(value)} (${whole(low)} to ${whole(high)})`, ...counted].join(', ')
}

function evidence({ sites, classes }) {
  const [site] = sites
  return (
    [site && `${site.function} ${site.origin.split('/').at(-1)}`, classes[0]?.name].filter(Boolean).join('; ') || '–'
  )
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { node: { type: 'string', default: process.execPath }, busy: { type: 'boolean', default: false } }
  })
  const apps = positionals.length > 0 ? positionals.map(corpus.get) : corpus.apps
  const version = execFileSync(values.node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim()
  const busy = values.busy
    ? Array.from({ length: availableParallelism() }, () => spawn(process.execPath, ['-e', 'for (;;);']))
    : []
  const truth = truths()
  const titles = [
    'app',
    'twin',
    'expected',
    'verdict',
    'bytes retained per request',
    'measured without a tool',
    'evidence',
    'requests',
    'seconds'
  ]
  const rows = [titles, titles.map(() => '---')]
  let wrong = 0
  try {
    for (const app of apps) {
      for (const twin of app.twins) {
        const leaks = twin === 'leaky' && corpus.leaks(app, version)
        const began = performance.now()
        let cells
        try {
          const result = await plimsoll.soak(join(__dirname, 'soak-app.js'), optionsOf(app, twin, values.node))
          const why = problem(app, leaks, result)
          if (why) wrong += 1
          const [own] = result.routes
          const verdict = why ? `**${why}**` : own.verdict
          cells = [verdict, found(own), truth(app, twin, version), evidence(own), whole(own.requests)]
          if (why) process.stderr.write(`${result}\n`)
        } catch (error) {
          wrong += 1
          process.stderr.write(`${error.stack}\n`)
          cells = [`**${error.message.split('\n')[0]}**`, '', truth(app, twin, version), '', '']
        }
        const seconds = ((performance.now() - began) / 1000).toFixed(0)
        const expected = leaks ? `fails, ${app.route}` : 'passes'
        rows.push([`[${app.name}](../corpus/apps/${app.name}.js)`, twin, expected, ...cells, seconds])
        process.stderr.write(`${rows.at(-1).join(' | ')}\n`)
      }
    }
  } finally {
    for (const child of busy) child.kill('SIGKILL')
  }
  const runs = rows.length - 2
  const title = `## Node ${version}${values.busy ? ', busy' : ''}`
  const text = `${title}\n\n${runs - wrong} of ${runs} verdicts are right.\n\n${rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')}\n`
  process.stdout.write(text)
  if (positionals.length === 0) write(text)
  if (wrong > 0) process.exitCode = 1
}

/** Replaces the section of the same major version and kind. */
function write(text) {
  const kind = section => /^Node (\d+)[^\n]*?(, busy)?\n/.exec(section).slice(1).join('')
  const replaced = readFileSync(FILE, 'utf8').replace(TABLES, (_, begin, before, end) => {
    const sections = [...before.split(/^## /m).slice(1), text.replace('## ', '')].map(section => `${section.trim()}\n`)
    const latest = new Map(sections.map(section => [kind(section), section]))
    const sorted = [...latest].sort(([a], [b]) => a.localeCompare(b)).map(([, section]) => `## ${section}`)
    return `${begin}\n${sorted.join('\n')}\n${end}`
  })
  writeFileSync(FILE, replaced)
}

main()
