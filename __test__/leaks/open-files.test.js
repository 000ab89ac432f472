'use strict'

// Files that requests open and do not close: the route and the call site are found before there are no descriptors left.

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const test = require('node:test')
const { setTimeout: pause } = require('node:timers/promises')
const { start } = require('../support/child.js')
const { request, until } = require('../support/http.js')

const LIMIT = 6000
/** Between requests: a verdict takes a minute and a half, and there must be descriptors left. */
const PAUSE_MS = 30
const lines = fs.readFileSync(path.join(__dirname, '..', 'apps', 'uploads.js'), 'utf8').split('\n')
const opened = lines.findIndex(line => line.endsWith('// opened')) + 1

/** An upload whose client disconnects in the middle. */
function abort(port) {
  return new Promise(resolve => {
    const req = http.request({ port, method: 'POST', path: '/upload', headers: { 'content-length': 10_000 } })
    req.on('error', resolve)
    req.write(Buffer.alloc(1000), () => setTimeout(() => req.destroy(new Error('aborted')), 5))
  })
}

test('files that aborted uploads leave open are found, with route, call site and the time that is left', async t => {
  if (process.platform !== 'linux') return t.skip('no /proc')
  const server = await start('uploads')
  t.after(() => server.stop())
  // Node raises its limit to the hard limit, so the process is given a lower one.
  const limited = spawnSync('prlimit', ['--pid', String(server.pid), `--nofile=${LIMIT}:${LIMIT}`])
  if (limited.status !== 0) return t.skip('no prlimit')
  const leak = await until(
    async () => {
      await abort(server.port)
      await request(server.port, '/read')
      await pause(PAUSE_MS)
      const { findings } = await server.ask('stats')
      return findings.find(({ kind, class: what, route }) => kind === 'leak' && what === 'file descriptors' && route)
    },
    'the finding',
    300_000
  )
  assert.equal(leak.route, 'POST /upload')
  assert.ok(leak.origin.startsWith(`${path.join('__test__', 'apps', 'uploads.js')}:${opened}:`), leak.origin)
  assert.equal(leak.severity, 'critical')
  assert.ok(leak.hoursToLimit > 0 && leak.hoursToLimit < 24, `${leak.hoursToLimit}`)
  assert.match(
    leak.advice,
    /^open file descriptors grow with requests: 0\.[3-6]\d? .* per request\. Those of POST \/upload stay open/
  )
  assert.match(leak.advice, /They are \d+ files in .*plimsoll-uploads-/)
  const { findings } = await server.ask('stats')
  assert.equal(findings.filter(({ class: what }) => what === 'file descriptors').length, 1)
})
