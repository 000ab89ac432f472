'use strict'

/*
 * Checks the findings on each leaky app of the corpus: do they name the route, line, class and holder that the app
 * declares? The app runs with `leaks: { snapshots: true }` until the finding has them.
 *
 *   npm run corpus:evidence -- [app …] [--node <binary>]… [--jobs 2]
 *
 * Three results may differ from the declaration, and the table shows them:
 *
 *   - The line may come from another finding, of a connection or a listener: objects that Node allocates have no line.
 *   - The path is V8's shortest one, which may not be that of the leak.
 *   - The class that grows most may be a part of the declared one: the strings of a session, the socket of a connection.
 *
 * Without names, the table goes into docs/corpus.md. Exits with 1 if a finding has no route and line, or no class and
 * path.
 */

const { parseArgs } = require('node:util')
const corpus = require('../../corpus')
const { count, inParallel, markdown, nodesOf, replaceSection } = require('./tables.js')
const { fits, run } = require('./watched.js')

const DEADLINE_MS = 600_000

/** The leak with a class. If the app's code does not allocate the objects, only another finding has the line. */
const leakWithClass = (app, findings) =>
  findings.find(
    ({ kind, class: name, route }) => kind === 'leak' && name !== null && (route === app.route || route === null)
  )

async function evidence(app, { path: node }) {
  const options = { node, rounds: 1, deadlineMs: DEADLINE_MS, env: { CORPUS_SNAPSHOTS: 'yes' } }
  const enough = findings => leakWithClass(app, findings) !== undefined
  const { findings, requests, ms } = await run(app, 'leaky', { ...options, enough })
  const fitting = findings.filter(finding => fits(app, finding))
  const leak = leakWithClass(app, findings)
  const at = fitting.includes(leak) ? leak : fitting.find(({ origin }) => origin !== null)
  const leaks = findings.filter(({ kind }) => kind === 'leak')
  return { found: at && leak && { ...leak, origin: at.origin }, leaks, requests, seconds: Math.ceil(ms / 1000) }
}

/** Compares whole words, since `process` must not match `process-listener.js`. */
function isHeld({ expected }, path) {
  return new RegExp(`(^|[\\s#(])${expected.holder}(?![\\w.-])`).test(path.join(' → '))
}

function row(app, { found, leaks, requests, seconds }) {
  const { class: expected, holder } = app.expected
  const cells = [`[${app.name}](../corpus/apps/${app.name}.js)`, `${expected} in ${holder}`]
  if (found === undefined) {
    const advice = leaks.map(leak => leak.advice).join('; ')
    return [...cells, `**no**${advice && `: ${advice}`}`, '', '', requests, `${seconds} s`]
  }
  const { class: name, perThousand, path, origin } = found
  const growth = `${name}${name === expected ? '' : ' (another)'}, +${Math.round(perThousand)}`
  const holders = `${path.slice(-4).join(' → ')}${isHeld(app, path) ? '' : ' (another)'}`
  const line = origin.split(/[\\/]/).at(-1)
  return [...cells, line, growth, holders.replaceAll('|', '\\|').replaceAll('<', '&lt;'), requests, `${seconds} s`]
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      jobs: { type: 'string', default: '2' },
      node: { type: 'string', multiple: true, default: [process.execPath] }
    }
  })
  const all = positionals.length > 0 ? positionals.map(corpus.get) : corpus.apps
  const titles = ['app', 'declared', 'line', 'class, per thousand requests', 'holders', 'requests', 'in']
  for (const node of nodesOf(values.node)) {
    const apps = all.filter(app => corpus.leaks(app, node.version) && app.expected.class)
    const rows = await inParallel(apps, count('jobs', values.jobs), async app => {
      const cells = row(app, await evidence(app, node))
      if (cells[2].startsWith('**no**')) process.exitCode = 1
      return cells
    })
    const text = section(node, titles, rows)
    process.stdout.write(text)
    if (positionals.length === 0) replaceSection('evidence', text)
  }
}

function section({ version }, titles, rows) {
  const found = rows.filter(([, , line]) => line !== undefined && !line.startsWith('**no**')).length
  const score = `${found} of ${rows.length} leaks are reported with route, line, class and path.`
  return `## Node ${version}\n\n${score}\n\n${markdown(titles, rows)}\n`
}

main()
