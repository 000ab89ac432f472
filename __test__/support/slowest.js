'use strict'

// A reporter of Node's test runner: the ten slowest test files and tests, when all have ended.

const path = require('node:path')

const SHOWN = 10

module.exports = async function* slowest(events) {
  const tests = []
  const files = new Map()
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const ms = data.details?.duration_ms ?? 0
    if (data.details?.type === 'suite' || data.nesting > 0 || data.file === undefined) continue
    const file = path.relative(process.cwd(), data.file)
    // Some versions of Node report each file as a test of its own.
    if (path.resolve(data.name) === data.file) continue
    tests.push({ ms, name: `${file}: ${data.name}` })
    files.set(file, (files.get(file) ?? 0) + ms)
  }
  yield* table(
    'slowest test files',
    [...files].map(([name, ms]) => ({ ms, name }))
  )
  yield* table('slowest tests', tests)
}

function* table(title, rows) {
  yield `\n${title}\n`
  rows.sort((a, b) => b.ms - a.ms)
  for (const { ms, name } of rows.slice(0, SHOWN)) yield `${(ms / 1000).toFixed(1).padStart(7)} s  ${name}\n`
}
