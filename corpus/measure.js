#!/usr/bin/env node
'use strict'

/*
 * The ground truth, without any tool: what each twin keeps a request, from process.memoryUsage() after forced collections.
 *
 *   node measure.js [app …] [--node <binary>]… [--seed <n>] [--json] [--write]
 *
 * `--write` puts the table into README.md. Exits with 1 where an app does not do what it declares.
 */

const { execFileSync } = require('node:child_process')
const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { parseArgs } = require('node:util')
const corpus = require('./index.js')
const { grows, kept } = require('./figures.js')

const ROUNDS = 10
const README = join(__dirname, 'README.md')
const BETWEEN = /(<!-- figures -->\n)[\s\S]*(<!-- \/figures -->)/

/** `{ rounds, kept }` of one twin: a round a tenth of the requests, and memory behind each. */
async function measure(app, twin, { requests = app.load.requests, rounds = ROUNDS, pings, ...options } = {}) {
  const server = await corpus.start(app.name, twin, options)
  try {
    await server.warm(pings)
    const seen = []
    for (let round = 0; round < rounds; round++) {
      await server.send(Math.round(requests / rounds))
      seen.push({ requests: server.load.sent, ...(await server.ask('memory')) })
    }
    return { rounds: seen, kept: kept(seen), statuses: server.load.statuses }
  } finally {
    await server.stop()
  }
}

/** What is wrong with what was measured; `null` where nothing is. */
function fault(app, twin, version, { kept }) {
  const expected = twin === 'leaky' && corpus.leaks(app, version)
  if (grows(kept) !== expected) return expected ? 'does not leak' : 'grows'
  const { bytesPerRequest } = app.expected
  if (!expected || bytesPerRequest === undefined) return null
  return Math.abs(kept.heap / bytesPerRequest - 1) > 0.03 ? `not ${bytesPerRequest} B` : null
}

function cell(result) {
  if (result === undefined) return '–'
  const { heap, external, rss, descriptors } = result.kept
  const parts = [bytes(heap), bytes(external), bytes(rss)]
  return `${parts.join(' / ')}${descriptors >= 0.02 ? ` · ${descriptors.toFixed(2)} fd` : ''}`
}

function bytes(value) {
  const whole = Math.round(value)
  return (whole === 0 ? 0 : whole).toLocaleString('en')
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      node: { type: 'string', multiple: true, default: [process.execPath] },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false }
    }
  })
  const apps = positionals.length > 0 ? positionals.map(corpus.get) : corpus.apps
  const nodes = values.node.map(path => ({ path, version: execFileSync(path, ['-v'], { encoding: 'utf8' }).trim() }))
  const titles = nodes.flatMap(({ version }) => [
    `leaky, Node ${version.slice(1)}`,
    `healthy, Node ${version.slice(1)}`
  ])
  const table = [
    ['app', 'what it is', ...titles],
    ['---', '---', ...titles.map(() => '---:')]
  ]
  for (const app of apps) {
    const cells = []
    for (const { path, version } of nodes) {
      for (const twin of ['leaky', 'healthy']) {
        const result = app.twins.includes(twin)
          ? await measure(app, twin, { node: path, seed: Number(values.seed) })
          : undefined
        const wrong = result && fault(app, twin, version, result)
        if (wrong) process.exitCode = 1
        cells.push(`${cell(result)}${wrong ? ` **${wrong}**` : ''}`)
        if (values.json) process.stdout.write(`${JSON.stringify({ app: app.name, twin, version, wrong, ...result })}\n`)
      }
    }
    process.stderr.write(`${app.name}: ${cells.join(' | ')}\n`)
    table.push([`[${app.name}](apps/${app.name}.js)`, app.mechanism, ...cells])
  }
  const text = `${table.map(cells => `| ${cells.join(' | ')} |`).join('\n')}\n`
  if (!values.json) process.stdout.write(text)
  if (values.write)
    writeFileSync(
      README,
      readFileSync(README, 'utf8').replace(BETWEEN, (_, begin, end) => begin + text + end)
    )
}

if (require.main === module) main()
module.exports = { measure, fault }
