'use strict'

// npm run test:js [-- [--concurrency N] [--group waiting|measuring] [file…]]
//
// Runs the JavaScript tests in two groups, and prints the ten slowest tests at the end. Without names it runs all files.
//
//   waiting     Most files. They wait for timers, collections and child processes, so two files for each core run at
//               the same time. The longest ones start first.
//   measuring   Files that measure. They run after the others, one at a time, since load changes the results.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { run } = require('node:test')
const { spec } = require('node:test/reporters')
const { parseArgs } = require('node:util')
const slowest = require('../__test__/support/slowest.js')

const TESTS = path.join(__dirname, '..', '__test__')
/** They measure times, rates and delays of the event loop. Tests that measure memory can run under load. */
const MEASURING = ['body/inflate-memory', 'body/limit-rate', 'express/route-long-urls', 'overload/shed-delay']
/** They start first. A long file that starts last would prolong the whole run. */
const LONGEST = [
  'leaks/owners',
  'package/nodes',
  'leaks/leak-path',
  'package/readme',
  'leaks/sites',
  'soak/soak',
  'package/corpus',
  'leaks/cadence',
  'leaks/trend',
  'recorder/memory',
  'tracking/growth',
  'package/package'
]

main()

async function main() {
  const { values, positionals } = parseArgs({
    options: { concurrency: { type: 'string' }, group: { type: 'string' } },
    allowPositionals: true
  })
  const concurrency = Number(values.concurrency ?? 2 * os.availableParallelism())
  const groups = { waiting: [], measuring: [] }
  for (const file of positionals.length > 0 ? positionals.map(file => path.resolve(file)) : testFiles())
    groups[MEASURING.includes(nameOf(file)) ? 'measuring' : 'waiting'].push(file)
  groups.waiting.sort((a, b) => rank(a) - rank(b))
  if (values.group !== undefined && groups[values.group] === undefined)
    throw new Error(`--group must be ${Object.keys(groups).join(' or ')}; got '${values.group}'`)
  const seen = []
  for (const [group, files] of Object.entries(groups)) {
    if (files.length === 0 || (values.group ?? group) !== group) continue
    seen.push(...(await report(run({ files, concurrency: group === 'measuring' ? 1 : concurrency }))))
  }
  for await (const text of slowest(seen)) process.stdout.write(text)
}

function testFiles() {
  return fs
    .readdirSync(TESTS, { recursive: true })
    .filter(name => name.endsWith('.test.js'))
    .sort()
    .map(name => path.join(TESTS, name))
}

function nameOf(file) {
  return path.relative(TESTS, file).replaceAll(path.sep, '/').replace('.test.js', '')
}

function rank(file) {
  const place = LONGEST.indexOf(nameOf(file))
  return place === -1 ? LONGEST.length : place
}

async function report(events) {
  const seen = []
  events.on('data', event => seen.push(event))
  events.on('test:fail', ({ todo }) => {
    if (todo === undefined || todo === false) process.exitCode = 1
  })
  events.compose(new spec()).pipe(process.stdout, { end: false })
  await new Promise((resolve, reject) => events.on('end', resolve).on('error', reject))
  return seen
}
