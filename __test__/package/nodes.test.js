'use strict'

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { join } = require('node:path')
const test = require('node:test')
const { need } = require('../support/nodes.js')

/**
 * What depends on V8: the counter, its probe, collections, the ends of a request at which it is read, how a heap fills
 * up, and async contexts.
 */
const ENGINE = [
  'tracking/track.test.js',
  'tracking/counter.test.js',
  'recorder/collections.test.js',
  'recorder/near-limit.test.js',
  'recorder/probe.test.js',
  'request/spans.test.js',
  'scope/scope.test.js',
  'leaks/watch-listeners.test.js'
]
/** What depends on the modules of Node or on Express. `npm run nightly -- nodes` runs these as well. */
const MODULES = ['express/layers.test.js', 'overload/shed.test.js']
const FILES = process.env.PLIMSOLL_SLOW ? [...ENGINE, ...MODULES] : ENGINE

for (const version of [22, 24, 26]) {
  test(`tracks and counts on Node ${version} as on this one`, async t => {
    const nodes = need(t, [version])
    if (nodes === null) return
    const files = FILES.map(file => join(__dirname, '..', file))
    const child = spawn(nodes[0].path, ['--test', '--test-reporter=tap', ...files], {
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
      stdio: ['ignore', 'pipe', 'inherit']
    })
    t.after(() => child.kill())
    let output = ''
    child.stdout.on('data', text => {
      output += text
    })
    const [code] = await once(child, 'close')
    for (const line of output.split('\n')) if (/^\s*# (doubles|objects):/.test(line)) t.diagnostic(line.trim().slice(2))
    assert.equal(code, 0, failures(output))
    assert.match(output, /^# pass [1-9]/m)
  })
}

/** The part of a TAP report that shows why it failed. The end of a report does not. */
function failures(report) {
  const lines = report.split('\n')
  const shown = lines.flatMap((line, i) => (/^\s*not ok/.test(line) ? lines.slice(i, i + 30) : []))
  return shown.length > 0 ? shown.join('\n') : report
}
