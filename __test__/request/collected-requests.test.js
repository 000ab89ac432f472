'use strict'

// A request that is over, and that its app has released, is collected: by one collection, while its connection is open.
// Nothing of Plimsoll retains it, with all features on, and with anything that the app stores in an AsyncLocalStorage.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const { join } = require('node:path')
const test = require('node:test')
const { promisify } = require('node:util')
const { nodes, need, major } = require('../support/nodes.js')

const APP = join(__dirname, '..', 'apps', 'collected.js')
/** A marking that had begun before the end of a request would spare it. */
const FLAGS = ['--expose-gc', '--no-incremental-marking']
const SETS = [
  'plimsoll()',
  'layers',
  'async',
  'watch',
  'largeResponses',
  'limit',
  'minRate',
  'budget',
  'defer',
  'report',
  'inflate',
  'shed',
  'scope',
  'spool',
  'watchListeners',
  'all'
]
const NOTHING = { http: {}, express4: {}, express5: {}, http2: {} }

async function retainedBy(node, set) {
  const env = { ...process.env, NODE_ENV: 'test', NODE_TEST_CONTEXT: '' }
  const { stdout, stderr } = await promisify(execFile)(node.path, [...FLAGS, APP, set], { env })
  return { retained: JSON.parse(stdout), stderr }
}

for (const node of nodes.filter(node => major(node) === 20 || major(node) === 24)) {
  test.describe(`on Node ${major(node)}`, () => {
    test('nothing retains the requests of an app without Plimsoll', async () => {
      assert.deepEqual(await retainedBy(node, 'none'), { retained: NOTHING, stderr: '' })
    })

    for (const set of SETS) {
      test(`nothing retains the requests of an app with ${set}`, async () => {
        assert.deepEqual(await retainedBy(node, set), { retained: NOTHING, stderr: '' })
      })
    }
  })
}

test('Node 24 is there to be tested', t => {
  need(t, [24])
})
