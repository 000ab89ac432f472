'use strict'

/* `npm run corpus`: each app and its twin under load, as a table, and into docs/corpus.md. */

const { writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { postgres } = require('../support/postgres.js')
const { describe, fits, leaks, names, run } = require('./corpus.js')

const FILE = join(__dirname, '..', '..', 'docs', 'corpus.md')
const HEAD = `# The corpus

Small Express apps, each with one of the ways in which servers leak, and a healthy twin that does the same without. Both run under
the same load with everything watched; the sources are in [\`__test__/corpus/apps\`](../__test__/corpus/apps). \`npm run corpus\` makes this table.

A healthy twin gets at least twice the requests that its leak was found with, and 400; nothing may be found in it. Found after: requests sent
until \`stats().findings\` had it, as seen after each burst of 20 to 100 requests and a forced collection. What is retained is only so
five seconds behind its end.
`

const ended = []
const t = { after: work => ended.unshift(work), skip: reason => process.stderr.write(`${reason}\n`) }

async function row(app, env) {
  const cells = {
    expected: app.expected ? `${app.expected.kind}, ${app.expected.route}` : 'nothing',
    found: '–',
    after: '–',
    healthy: '–'
  }
  let leaky = { requests: 0, ms: 0 }
  if (leaks(app)) {
    leaky = await run(app, 'leaky', { env })
    const finding = leaky.findings.find(finding => fits(app, finding))
    cells.found = finding ? `${finding.kind}, ${finding.route}, ${finding.origin ?? 'no place'}` : '**not found**'
    cells.after = leaky.requests
  }
  const healthy = await run(app, 'healthy', { env, atLeast: leaky })
  const wrong = healthy.findings.map(({ kind, route, origin }) => `${kind}, ${route}, ${origin}`)
  cells.healthy = wrong.length === 0 ? `nothing in ${healthy.requests}` : `**${wrong.join('; ')}**`
  return cells
}

async function main() {
  const env = { POSTGRES: await postgres(t) }
  const rows = [
    ['app', 'mechanism', 'expected', 'found', 'after', 'healthy twin'],
    ['---', '---', '---', '---', '---:', '---']
  ]
  for (const name of names) {
    const app = describe(name)
    if (app.needs !== null && env.POSTGRES === null) continue
    const { expected, found, after, healthy } = await row(app, env)
    process.stderr.write(`${name}: ${found} after ${after}; healthy: ${healthy}\n`)
    const folder = join('__test__', 'corpus', 'apps', '/')
    rows.push([name, app.mechanism, expected, String(found).replaceAll(folder, ''), after, healthy])
  }
  const table = rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')
  const text = `${HEAD}\nNode ${process.versions.node}.\n\n${table}\n`
  writeFileSync(FILE, text)
  process.stdout.write(`${table}\n`)
}

main().finally(async () => {
  for (const work of ended) await work()
})
