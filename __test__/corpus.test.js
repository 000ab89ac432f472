'use strict'

// In each leaky app of the corpus the kind, the route and the line are found, and nothing in its healthy twin.

const assert = require('node:assert/strict')
const test = require('node:test')
const { describe, fits, leaks, names, run } = require('./corpus/corpus.js')
const { postgres } = require('./support/postgres.js')

test('the corpus', { concurrency: 3 }, async t => {
  const POSTGRES = await postgres(t)
  const apps = names.map(describe)
  await Promise.all(
    apps.map(app =>
      t.test(`${app.name}: ${app.mechanism}`, async t => {
        if (app.needs !== null && POSTGRES === null) return t.skip(`no ${app.needs}`)
        const env = { POSTGRES }
        let leaky = { requests: 0, ms: 0 }
        if (leaks(app)) {
          leaky = await run(app, 'leaky', { env })
          const shown = JSON.stringify({ expected: app.expected, ...leaky }, null, 1)
          assert.ok(
            leaky.findings.some(finding => fits(app, finding)),
            shown
          )
          assert.equal(leaky.faults, 0, shown)
        }
        const healthy = await run(app, 'healthy', { env, atLeast: leaky })
        assert.deepEqual(healthy.findings, [], `after ${healthy.requests} requests`)
        assert.equal(healthy.faults, 0, healthy.output)
      })
    )
  )
})
