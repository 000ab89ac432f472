#!/usr/bin/env node
'use strict'

/*
 * Measures the ground truth without any tool: what each twin retains per request. It reads process.memoryUsage() after
 * forced collections.
 *
 *   node measure.js [app …] [--node <binary>]… [--seed <n>] [--json] [--write]
 *
 * `--write` puts the table into README.md. Exits with 1 if an app does not do what it declares.
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

/** `{ rounds, kept, statuses }` of one twin. It reads the memory after each round, which is a tenth of the requests. */
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

/** The difference from the declaration, or `null`. */
function problem(app, twin, version, { kept }) {
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
        const wrong = result && problem(app, twin, version, result)
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
module.exports = { measure, problem }
