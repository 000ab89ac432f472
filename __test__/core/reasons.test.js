'use strict'

// What Node or the system forbids is reported by name, and the app continues.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { promisify } = require('node:util')
const { folder, show } = require('../support/cli.js')
const { nodes, major } = require('../support/nodes.js')

const APP = path.join(__dirname, '..', 'apps', 'restricted.js')
const CLI = path.join(__dirname, '..', '..', 'bin', 'plimsoll.js')

async function run(dir, node, args, env = {}) {
  const set = { ...process.env, NODE_TEST_CONTEXT: '', NODE_OPTIONS: '', PLIMSOLL: '', PLIMSOLL_DIR: dir, ...env }
  const { stdout } = await promisify(execFile)(node, [...args, APP], { env: set, cwd: dir, timeout: 60_000 })
  return JSON.parse(stdout)
}

for (const { version, path: node } of nodes) {
  const permission = major({ version }) < 23 ? '--experimental-permission' : '--permission'
  for (const [flags, options, named, advice] of [
    [
      [permission, '--allow-fs-read=*', '--allow-fs-write=*'],
      '',
      /with --permission but without --allow-addons/,
      /Add --allow-addons/
    ],
    [['--no-addons'], '', /with --no-addons/, /Start Node without --no-addons/],
    [[], '--no-addons', /with --no-addons/, /Start Node without --no-addons/]
  ]) {
    test(`Node ${version}, ${flags[0] ?? `NODE_OPTIONS=${options}`}: the warning names the flag, and the limit holds`, async t => {
      // Newer Nodes deny the network too.
      const net = major({ version }) >= 25 ? ['--allow-net'] : []
      const report = await run(folder(t), node, flags.includes(permission) ? [...flags, ...net] : flags, {
        NODE_OPTIONS: options
      })
      assert.deepEqual(report.statuses, [200, 413])
      const ours = report.warnings.filter(({ code }) => code?.startsWith('PLIMSOLL'))
      assert.equal(ours.length, 1, JSON.stringify(report.warnings))
      assert.equal(ours[0].code, 'PLIMSOLL_NO_BINARY')
      for (const text of [ours[0].message, report.heap.reason]) {
        assert.match(text, named)
        assert.match(text, advice)
        assert.doesNotMatch(text, /npm|Rust|optional/)
      }
    })
  }
}

test('the command names the flag that forbids the binary', async () => {
  const error = await promisify(execFile)(process.execPath, ['--no-addons', CLI, 'show']).catch(thrown => thrown)
  assert.equal(error.code, 1)
  assert.match(error.stderr, /^plimsoll: Node runs with --no-addons.*Start\s+Node\s+without\s+--no-addons\n$/s)
})

test('records and finds as always where its working directory was deleted', async t => {
  const dir = folder(t)
  const gone = fs.mkdtempSync(path.join(dir, 'gone-'))
  const report = await run(dir, process.execPath, [], { GONE: gone, PLIMSOLL_NAME: '' })
  assert.deepEqual(report.statuses, [200, 413])
  assert.equal(report.internalErrors, 0)
  assert.equal(report.requests.total, 2)
  assert.deepEqual(
    report.warnings.filter(({ code }) => code?.startsWith('PLIMSOLL')),
    []
  )
  assert.ok(report.recorder.path.startsWith(dir), report.recorder.path)
  const origins = Object.fromEntries(report.findings.map(({ kind, origin }) => [kind, origin]))
  // Without a working directory, paths cannot be relative.
  for (const kind of ['large-response', 'disposer']) assert.match(origins[kind], /apps\/restricted\.js:\d+/, kind)
  assert.match(report.snapshot, /working directory was deleted.*absolute path/)
  const [record] = await show(report.recorder.path)
  assert.ok(record.name.length > 0)
})
