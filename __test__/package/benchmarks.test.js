'use strict'

// `npm run bench -- --write`: a result replaces the recorded table of the same measurement and Node, and nothing else.

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { isWritable, record } = require('../../bench/harness/document.js')

const ROOT = path.join(__dirname, '..', '..')
const NAMES = ['calls', 'spans']
const section = (name, node, text) => ({ name, node, text })

test('tables are sorted by measurement and Node, and each replaces its predecessor', () => {
  const empty = '# Benchmarks\n\n<!-- bench -->\n<!-- /bench -->\n\nAfter.\n'
  assert.equal(isWritable(empty), true)
  const first = record(empty, [section('spans', 'v24.1.0', 'b24'), section('spans', 'v20.0.0', 'b20')], NAMES)
  const second = record(first, [section('calls', 'v20.0.0', 'a20\n\n$& | table |')], NAMES)
  const third = record(second, [section('spans', 'v20.9.0', 'new b20')], NAMES)
  const order = [...third.matchAll(/<!-- (bench:\S+ \d+) -->\n([^\n]*)/g)].map(([, key, text]) => `${key}: ${text}`)
  assert.deepEqual(order, ['bench:calls 20: a20', 'bench:spans 20: new b20', 'bench:spans 24: b24'])
  assert.ok(third.includes('a20\n\n$& | table |\n<!-- /bench:calls 20 -->'))
  assert.ok(third.startsWith('# Benchmarks\n\n<!-- bench -->\n') && third.endsWith('<!-- /bench -->\n\nAfter.\n'))
})

test('a document without markers is refused, and a quick run is not recorded', () => {
  assert.equal(isWritable('# Benchmarks\n'), false)
  assert.equal(isWritable(fs.readFileSync(path.join(ROOT, 'docs', 'benchmarks.md'), 'utf8')), true)
  const quick = spawnSync(process.execPath, ['bench/run.js', '--write', '--quick'], { cwd: ROOT, encoding: 'utf8' })
  assert.equal(quick.status, 2, quick.stderr)
  assert.match(quick.stderr, /--write cannot record the figures of --quick/)
})
