'use strict'

/* What a leak is said to be retained by, and what to change, for each common shape: two real heap snapshots of a program that leaks in it. */

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { describe, it } = require('node:test')
const { promisify } = require('node:util')
const { native } = require('../../lib/core/addon.js')
const cli = require('../support/cli.js')

const run = promisify(execFile)
const PROGRAM = path.join(__dirname, '..', 'apps', 'shapes.js')
const linux = process.platform === 'linux' ? {} : { skip: 'what retains a leak is found on Linux only' }

/** By name: what retains the objects, as a finding says it, and the shape, if it has another name. */
const EXPECTED = {
  array: ['list (an Array in shapes.js)'],
  map: ['sessions (a Map in shapes.js)'],
  set: ['seen (a Set in shapes.js)'],
  object: ['byName in shapes.js'],
  'keys-by-identity': ['prepared (a Map in shapes.js)'],
  closures: ['callbacks (an Array in shapes.js)'],
  'unbounded-lru': ['recent (a LRUCache in shapes.js)'],
  'emitter-listeners': ["'change' listeners of bus (an EventEmitter in shapes.js)"],
  'event-target-listeners': ['listeners of target (an EventTarget in shapes.js)'],
  'abort-signal-listeners': ['listeners of shutdown (an AbortController in shapes.js)'],
  'process-listeners': ["'SIGUSR2' listeners of process"],
  'server-listeners': ["'close' listeners of server (a Server in shapes.js)"],
  'socket-listeners': ["'timeout' listeners of a Socket"],
  immediates: ["Node's queue of immediates"],
  'weak-map': ['owners (a WeakMap in shapes.js)'],
  'module-cache': ["Node's cache of modules"],
  'writable-buffer': ['the buffer of log (a Writable in shapes.js)'],
  'readable-buffer': ['the buffer of source (a Readable in shapes.js)'],
  'sliced-strings': ['tokens (an Array in shapes.js)'],
  buffers: ['heads (an Array in shapes.js)'],
  errors: ['failures (an Array in shapes.js)'],
  intl: ['formats (a Map in shapes.js)'],
  'regular-expressions': ['patterns (a Map in shapes.js)'],
  'diagnostics-subscribers': ['subscribers of channel (a Channel in shapes.js)'],
  'domain-members': ['members of group (a Domain in shapes.js)'],
  'open-responses': ['responses (a Set in shapes.js)']
}

async function explained(shape, folder) {
  await run(process.execPath, ['--expose-gc', PROGRAM, shape, folder])
  const files = ['before', 'after'].map(name => path.join(folder, `${name}.heapsnapshot`))
  const { code, stdout, stderr } = await cli.plimsoll(['heap', 'diff', ...files, '--json'])
  assert.equal(code, 0, stderr)
  const grown = Math.max(...JSON.parse(stdout).classes.map(({ retainedBytes }) => retainedBytes))
  return native.explainGrowth(stdout, grown)
}

describe('what retains objects, by shape', { ...linux, concurrency: 2 }, () => {
  for (const [name, [holder, shape = name]] of Object.entries(EXPECTED)) {
    it(`${name}: ${holder}`, async t => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-test-'))
      t.after(() => fs.rmSync(folder, { recursive: true, force: true }))
      const found = await explained(name, folder)
      t.diagnostic(JSON.stringify(found))
      assert.equal(found.shape, shape)
      assert.equal(found.holder?.replace(/__test__.apps./, ''), holder)
      assert.ok(found.advice.length > 20)
    })
  }
})
