'use strict'

// The wall clock may be set at any time. Durations are measured by the monotonic clock.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { preload } = require('../support/cc.js')
const { start } = require('../support/child.js')
const { folder, show } = require('../support/cli.js')
const { until } = require('../support/http.js')

const HOUR_MS = 3_600_000
/** With the wall clock, seven of these were taken for a block of an hour. */
const STEPS = 16
const onlyGlibc = process.report.getReport().header.glibcVersionRuntime ? false : 'needs LD_PRELOAD and glibc'

test('a wall clock that steps forward by an hour is no block of the event loop', { skip: onlyGlibc }, async t => {
  const dir = folder(t)
  const clock = preload(t, 'clock', dir)
  if (clock === null) return
  const steps = path.join(dir, 'steps')
  fs.writeFileSync(steps, '')
  const server = await start('flight', { env: { PLIMSOLL_DIR: dir, LD_PRELOAD: clock, STEPS: steps } })
  t.after(() => server.stop())
  const began = Date.now()
  for (let step = 1; step <= STEPS; step++) {
    fs.appendFileSync(steps, 'x')
    await until(async () => {
      const [{ lastHeartbeat, eventLoop }] = await show(dir)
      return Math.min(lastHeartbeat, eventLoop.lastTick) >= began + step * HOUR_MS
    }, `its clock has stepped ${step} times`)
  }
  const [{ eventLoop, events }] = await show(dir)
  assert.ok(eventLoop.longestBlockMs < HOUR_MS / 2, `${eventLoop.longestBlockMs}`)
  const hours = events.filter(({ type, detail }) => type === 'blocked' && /\d{4,}\.\d s/.test(detail))
  assert.deepEqual(hours, [])
})

test('a process that was stopped for a while was not blocked', { skip: process.platform === 'win32' }, async t => {
  const dir = folder(t)
  const server = await start('flight', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  const [{ lastHeartbeat }] = await show(dir)
  server.kill('SIGSTOP')
  await until(() => Date.now() > lastHeartbeat + 8000, 'it was stopped for long')
  server.kill('SIGCONT')
  await until(async () => (await show(dir))[0].lastHeartbeat > lastHeartbeat + 8500, 'it goes on')
  const [{ eventLoop }] = await show(dir)
  assert.ok(eventLoop.longestBlockMs < 7000, `${eventLoop.longestBlockMs}`)
})
