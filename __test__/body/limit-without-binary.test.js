'use strict'

// Without a binary, or with it switched off, limits are still enforced.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')
const { promisify } = require('node:util')

const root = path.join(__dirname, '..', '..')
const program = path.join(__dirname, '..', 'apps', 'without-binary.js')
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-without-binary-'))
test.after(() => fs.rmSync(temporary, { recursive: true, force: true }))

/** Only the package's JavaScript, with this instead of the generated `binding.js`. */
function copied(name, binding) {
  const folder = path.join(temporary, name, 'plimsoll')
  fs.mkdirSync(folder, { recursive: true })
  for (const part of ['index.js', 'package.json', 'lib']) {
    fs.cpSync(path.join(root, part), path.join(folder, part), { recursive: true })
  }
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(temporary, name, 'node_modules'), 'junction')
  if (binding !== undefined) fs.writeFileSync(path.join(folder, 'binding.js'), binding)
  return folder
}

async function run(folder, express, env = {}) {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program], {
    env: { ...process.env, NODE_TEST_CONTEXT: '', PLIMSOLL: '', ...env, EXPRESS: express, PLIMSOLL_PACKAGE: folder },
    timeout: 60_000
  })
  return { ...JSON.parse(stdout), stderr }
}

function enforced({ outcomes, metrics, usage, stats, lastDeath, taps }) {
  for (const reader of ['/text', '/multer', '/data']) {
    for (const way of ['declared', 'counted']) {
      const statuses = [2000, 2001, 20_000].map(size => outcomes[`${reader} ${size} ${way}`])
      assert.deepEqual(statuses, [200, 413, 413], `${reader}, ${way}`)
    }
  }
  assert.ok(taps > 18, 'counted in JavaScript')
  assert.equal(metrics.status, 503)
  assert.deepEqual(JSON.parse(usage.body), { usage: 'undefined' })
  assert.equal(lastDeath, null)
  assert.ok(stats.rssBytes > 0 && stats.heap.usedBytes > 0, 'what Node itself can tell')
  assert.deepEqual(
    [stats.heap.exact, stats.native, stats.routes, stats.recorder.path],
    [false, 'unsupported', [], null]
  )
}

for (const [version, express] of [
  ['express 5', 'express'],
  ['express 4', 'express4']
]) {
  test(`${version}: PLIMSOLL=off enforces limits without a warning, and loads no native code`, async () => {
    const report = await run(root, express, { PLIMSOLL: 'off' })
    enforced(report)
    assert.match(report.stats.heap.reason, /PLIMSOLL=off/)
    assert.match(report.metrics.body, /PLIMSOLL=off/)
    assert.deepEqual(report.addons, [])
    assert.deepEqual(report.bindings, [])
    assert.deepEqual(report.warnings, [])
    assert.equal(report.stderr, '')
  })

  for (const [cause, binding] of [
    ['is missing', undefined],
    ['cannot be loaded', "throw new Error('wrong libc')"]
  ]) {
    test(`${version}: where the binary ${cause}, limits are enforced, and one warning says what to do`, async () => {
      const report = await run(copied(`${express} ${cause}`, binding), express)
      enforced(report)
      assert.deepEqual(report.addons, [])
      const [{ code, message }, ...more] = report.warnings
      assert.equal(code, 'PLIMSOLL_NO_BINARY')
      assert.ok(message.includes(`${process.platform}-${process.arch}`), message)
      assert.match(message, /npx plimsoll build/)
      assert.match(message, binding ? /wrong libc/ : /binding\.js/)
      assert.deepEqual(more, [])
      assert.ok(message.includes(report.stats.heap.reason), 'stats() says the same')
    })
  }
}
