'use strict'

// A reporter of Node's test runner: the ten slowest test files and tests, when all have ended. Of nested ones it shows
// the tests of suites, not the steps of a test.

const path = require('node:path')

const SHOWN = 10

module.exports = async function* slowest(events) {
  const files = new Map()
  const tests = []
  /** Reported below each level, until their parent is reported. A suite keeps them, a test does not. */
  const below = []
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const { name, nesting, file, details } = data
    const own = below[nesting + 1] ?? []
    below[nesting + 1] = []
    // Some versions of Node report each file as a test of its own.
    if (file === undefined || path.resolve(name) === file) continue
    const row = { ms: details?.duration_ms ?? 0, name: `${path.relative(process.cwd(), file)}: ${name}` }
    const rows = details?.type === 'suite' ? own : [row]
    if (nesting > 0) {
      below[nesting] ??= []
      below[nesting].push(...rows)
      continue
    }
    tests.push(...rows)
    files.set(file, (files.get(file) ?? 0) + row.ms)
  }
  const byFile = [...files].map(([file, ms]) => ({ ms, name: path.relative(process.cwd(), file) }))
  yield* table('slowest test files', byFile)
  yield* table('slowest tests', tests)
}

function* table(title, rows) {
  yield `\n${title}\n`
  rows.sort((a, b) => b.ms - a.ms)
  for (const { ms, name } of rows.slice(0, SHOWN)) yield `${(ms / 1000).toFixed(1).padStart(7)} s  ${name}\n`
}
