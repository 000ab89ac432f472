'use strict'

// A logger that fails is reported as a warning of the process, and does not affect the app.

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const { join } = require('node:path')
const test = require('node:test')

const ROOT = JSON.stringify(join(__dirname, '..', '..'))

for (const [how, fails] of [
  ['throws', "() => { throw new Error('disk full') }"],
  ['rejects', "async () => { throw new Error('disk full') }"]
]) {
  test(`a logger that ${how} ends no process and no request: its message becomes a warning`, () => {
    const code = `
      const plimsoll = require(${ROOT})
      const fails = ${fails}
      const log = { info: fails, warn: fails, error: fails }
      plimsoll({ recorder: false, log })
      plimsoll({ recorder: false, log, name: 'another' })
      setImmediate(() => console.log('goes on', plimsoll.stats().faults))`
    const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    assert.match(stderr, /PLIMSOLL_LOG\] Warning: plimsoll: already started/)
    assert.match(stderr, /log\.warn\(\) failed: disk full/)
    assert.match(stdout, /goes on 0/, 'no internal error')
  })
}
