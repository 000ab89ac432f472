'use strict'

/*
 * Whether the verdict on each leaky app of the corpus names what it declares: route, line, class and what holds it. The app runs with
 * `leaks: { snapshots: true }` until the finding has them.
 *
 *   npm run corpus:evidence -- [app …] [--node <binary>]… [--jobs 2]
 *
 * The line may be another finding's, of the connection or the listener: what Node's own code allocates has none. V8's shortest path may be
 * another one than the leak's, and what grows most another class than the one that the app's author thinks of: a session's strings, a
 * connection's socket. The table says which it was. Without names, it goes into docs/corpus.md. Exits with 1 where route and line, or class and
 * path are not told.
 */

const { parseArgs } = require('node:util')
const corpus = require('../../corpus')
const { count, inTurns, markdown, nodesOf, replaceSection } = require('./tables.js')
const { fits, run } = require('./watched.js')

const DEADLINE_MS = 600_000

/** The leak whose class is told. Its line may be known by another finding only, where no code of the app's makes what stays. */
const told = (app, findings) =>
  findings.find(
    ({ kind, class: name, route }) => kind === 'leak' && name !== null && (route === app.route || route === null)
  )

async function evidence(app, { path: node }) {
  const options = { node, rounds: 1, deadlineMs: DEADLINE_MS, env: { CORPUS_SNAPSHOTS: 'yes' } }
  const enough = findings => told(app, findings) !== undefined
  const { findings, requests, ms } = await run(app, 'leaky', { ...options, enough })
  const fitting = findings.filter(finding => fits(app, finding))
  const leak = told(app, findings)
  const at = fitting.includes(leak) ? leak : fitting.find(({ origin }) => origin !== null)
  const leaks = findings.filter(({ kind }) => kind === 'leak')
  return { found: at && leak && { ...leak, origin: at.origin }, leaks, requests, seconds: Math.ceil(ms / 1000) }
}

/** By whole words: `process` is not `process-listener.js`. */
function isHeld({ expected }, path) {
  return new RegExp(`(^|[\\s#(])${expected.holder}(?![\\w.-])`).test(path.join(' → '))
}

function row(app, { found, leaks, requests, seconds }) {
  const { class: expected, holder } = app.expected
  const cells = [`[${app.name}](../corpus/apps/${app.name}.js)`, `${expected} in ${holder}`]
  if (found === undefined) {
    const said = leaks.map(({ advice }) => advice).join('; ')
    return [...cells, `**no**${said && `: ${said}`}`, '', '', requests, `${seconds} s`]
  }
  const { class: name, perThousand, path, origin } = found
  const told = `${name}${name === expected ? '' : ' (another)'}, +${Math.round(perThousand)}`
  const held = `${path.slice(-4).join(' → ')}${isHeld(app, path) ? '' : ' (another)'}`
  const line = origin.split(/[\\/]/).at(-1)
  return [...cells, line, told, held.replaceAll('|', '\\|').replaceAll('<', '&lt;'), requests, `${seconds} s`]
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
  const titles = ['app', 'declared', 'line', 'class, a thousand requests', 'held by', 'requests', 'in']
  for (const node of nodesOf(values.node)) {
    const apps = all.filter(app => corpus.leaks(app, node.version) && app.expected.class)
    const rows = await inTurns(apps, count('jobs', values.jobs), async app => {
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
  const told = rows.filter(([, , line]) => line !== undefined && !line.startsWith('**no**')).length
  const said = `${told} of ${rows.length} leaks are told with route, line, class and path.`
  return `## Node ${version}\n\n${said}\n\n${markdown(titles, rows)}\n`
}

main()
