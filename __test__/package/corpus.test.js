'use strict'

// In each leaky app of the corpus the kind, the route and the line are found, and nothing in its healthy twin or in a
// look-alike. An app whose leak has no watcher grows, and its twin does not.

const assert = require('node:assert/strict')
const test = require('node:test')
const { fits, run } = require('../../bench/corpus/watched.js')
const corpus = require('../../corpus')
const { measure } = require('../../corpus/measure.js')

/** For a short run without plimsoll. Whole runs are `node corpus/measure.js`. */
const SHORT = { rounds: 1, pings: 400 }
/** Bytes: half of what the smallest leak retains for each request. */
const MARGIN = 200
/**
 * In the gate: an app for each kind of finding, one that only the trend finds, and a look-alike. `npm run nightly --
 * corpus` runs all.
 */
const GATE = [
  'abort-listener',
  'aborted-download',
  'cache-to-plateau',
  'missing-release',
  'timer-registry',
  'unbounded-cache'
]
const apps = process.env.PLIMSOLL_SLOW ? corpus.apps : GATE.map(name => corpus.get(name))

test('the corpus', { concurrency: 3 }, async t => {
  await Promise.all(
    apps.map(app =>
      t.test(`${app.name}: ${app.mechanism}`, async () => {
        if (app.expected.leak && Object.keys(app.expected.kinds).length === 0) return grows(app)
        let leaky = { requests: 0, ms: 0 }
        if (app.twins.includes('leaky') && Number.parseInt(process.versions.node, 10) < app.below) {
          leaky = await run(app, 'leaky')
          const shown = JSON.stringify({ expected: app.expected, ...leaky }, null, 1)
          assert.ok(
            leaky.findings.some(finding => fits(app, finding)),
            shown
          )
          assert.equal(leaky.internalErrors, 0, shown)
        }
        const healthy = await run(app, 'healthy', { atLeast: leaky })
        assert.deepEqual(healthy.findings, [], `after ${healthy.requests} requests`)
        assert.equal(healthy.internalErrors, 0, healthy.output)
      })
    )
  )
})

/** Growth of the server itself is in both twins. */
async function grows(app) {
  const short = { ...SHORT, requests: app.load.requests / 3 }
  const [leaky, healthy] = [await measure(app, 'leaky', short), await measure(app, 'healthy', short)].map(
    ({ rounds }) => rounds[0]
  )
  const more = Math.max(leaky.heapUsed - healthy.heapUsed, leaky.external - healthy.external)
  assert.ok(more / leaky.requests > MARGIN, JSON.stringify({ leaky, healthy }))
}
