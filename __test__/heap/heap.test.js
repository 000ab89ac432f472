'use strict'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const test = require('node:test')
const zlib = require('node:zlib')
const plimsoll = require('../..')
const cli = require('../support/cli.js')
const { major, need, nodes } = require('../support/nodes.js')

const LEAKED = 10_000

/** The snapshots that a Node writes before, after and long after a known leak. Returns their paths. */
function snapshots(t, node = process.execPath, leaked = LEAKED) {
  const folder = cli.folder(t)
  execFileSync(node, [join(__dirname, '..', 'apps', 'heap-leak'), folder, String(leaked)])
  return ['before', 'after', 'final'].map(name => join(folder, `${name}.heapsnapshot`))
}

async function openAll(t, paths, options) {
  const heaps = await Promise.all(paths.map(path => plimsoll.heap.open(path, options)))
  t.after(() => Promise.all(heaps.map(heap => heap.close())))
  return heaps
}

for (const version of [20, 22, 24, 26]) {
  test(`a known leak is the first line of a diff, with its path (Node ${version})`, async t => {
    const node = major(nodes[0]) === version ? [nodes[0]] : need(t, [version])
    if (!node) return
    const [before, after, final] = snapshots(t, node[0].path)
    const { code, stdout } = await cli.plimsoll(['heap', 'diff', before, after], { LC_ALL: 'C.UTF-8' })
    assert.equal(code, 0)
    const [line, path] = stdout.split('\n')
    assert.match(line, /^LeakedSession {2}\+10,000 −0, retains [\d.]+ MiB$/)
    assert.match(path, /^ {2}global → module users\.js → cache: Map → table → LeakedSession @\d+$/)

    // With a third one, only objects that stayed are reported.
    const passing = ({ classes }) => classes.find(({ name }) => name === 'Passing')?.added
    const diff = async (...files) => JSON.parse((await cli.plimsoll(['heap', 'diff', '--json', ...files])).stdout)
    assert.equal(passing(await diff(before, after)), 1000)
    const stayed = await diff(before, after, final)
    assert.equal(passing(stayed), undefined)
    assert.deepEqual([stayed.classes[0].name, stayed.classes[0].added], ['LeakedSession', LEAKED])
  })
}

test('a heap answers with the shapes that are promised', async t => {
  const [before, after] = await openAll(t, snapshots(t, process.execPath, 200).slice(0, 2))
  const summary = await after.summary()
  const sessions = summary.classes.find(({ name }) => name === 'LeakedSession')
  assert.equal(sessions.count, 210)
  assert.ok(sessions.retainedBytes > sessions.selfBytes && summary.totalBytes > sessions.retainedBytes)
  assert.equal(
    summary.kinds.reduce((sum, { count }) => sum + count, 0),
    summary.nodes
  )
  assert.ok(summary.duplicateStrings.wastedBytes > 0)

  const { classes } = await before.diff(after)
  const leaked = classes.find(({ name }) => name === 'LeakedSession')
  assert.deepEqual([leaked.added, leaked.removed], [200, 0])
  assert.equal(leaked.location.line, 6)
  const session = await after.object(leaked.example)
  assert.deepEqual([session.class, session.type], ['LeakedSession', 'object'])
  assert.deepEqual(session.references.map(({ name }) => name).slice(0, 3), ['user', 'items', 'note'])
  const dominator = await after.object(session.dominator)
  assert.ok(dominator.retainedBytes > session.retainedBytes)

  const path = await after.path(session.id)
  assert.deepEqual(path.parts, leaked.path)
  assert.equal(path.text, path.parts.join(' → '))
  assert.equal(path.steps.at(-1).object.id, session.id)
  assert.match((await after.path('LeakedSession')).text, /module users\.js → cache: Map/)

  const rows = await after.dominators({ threshold: 5, depth: 2 })
  assert.equal(rows[0].depth, 0)
  assert.ok(rows.every(({ depth, retainedBytes }) => depth <= 2 && retainedBytes * 20 >= summary.totalBytes))
})

test('compressed snapshots and those from standard input are the same', async t => {
  const [path] = snapshots(t, process.execPath, 10)
  const plain = readFileSync(path)
  const gzip = `${path}.gz`
  writeFileSync(gzip, zlib.gzipSync(plain, { level: 1 }))
  const [one, two] = await openAll(t, [path, gzip])
  assert.deepEqual(await two.summary(), await one.summary())
  const args = ['heap', 'summary', '-', '--json']
  const stdout = execFileSync(process.execPath, [join(__dirname, '..', '..', 'bin', 'plimsoll.js'), ...args], {
    input: plain,
    maxBuffer: 64 << 20
  })
  assert.deepEqual(JSON.parse(stdout), await one.summary())
})

test('the event loop goes on while a snapshot is read', async t => {
  const [path] = snapshots(t)
  let turns = 0
  const turn = () => {
    turns++
    next = setImmediate(turn)
  }
  let next = setImmediate(turn)
  const [heap] = await openAll(t, [path])
  await heap.summary()
  clearImmediate(next)
  // If it were read on the loop's thread, there would be one or two ticks: before and after.
  assert.ok(turns > 10, `${turns} turns`)
})

test('a heap that is closed says so, and is closed once', async t => {
  const [path] = snapshots(t, process.execPath, 10)
  const [heap, other] = await openAll(t, [path, path])
  // A query that is running is completed.
  const summary = heap.summary()
  await heap.close()
  await heap.close()
  assert.ok((await summary).nodes > 0)
  const calls = [() => heap.summary(), () => heap.diff(other), () => other.diff(heap), () => heap.path(1)]
  for (const call of [...calls, () => heap.dominators(), () => heap.object(1), () => heap.path('Map')]) {
    await assert.rejects(call, /^Error: plimsoll: heap\.\w+\(\): the heap is closed$/)
  }
})

test('what is no snapshot is an error with the place', async t => {
  const [path] = snapshots(t, process.execPath, 10)
  const whole = readFileSync(path)
  const file = join(cli.folder(t), 'damaged.heapsnapshot')
  const nodes = whole.indexOf('"nodes":[')
  const changed = (at, text) => Buffer.concat([whole.subarray(0, at), Buffer.from(text), whole.subarray(at)])
  for (const [content, expected] of [
    ['', /the file is empty, at byte 0/],
    ['not JSON', /'\{' was expected, at byte 0/],
    ['{"a":1}', /there is no "snapshot", at byte 7/],
    [whole.subarray(0, whole.length >> 1), /ends too early.*at byte \d+/],
    [whole.subarray(0, whole.length - 3), /ends too early.*at byte \d+/],
    [changed(nodes + 9, 'x'), new RegExp(`a number was expected, at byte ${nodes + 9}$`)],
    [changed(nodes + 9, '77,'), /at byte \d+/],
    [
      String(whole).replace(/"node_count":\d+/, '"node_count":4000000000'),
      /4000000000 nodes.*too short for them, at byte \d+/
    ],
    [zlib.gzipSync(whole).subarray(0, 5000), /compressed data is damaged or cut off/],
    [Buffer.alloc(1 << 20, '['), /'\{' was expected/],
    [`{"a":${'['.repeat(1 << 20)}`, /ends too early/]
  ]) {
    writeFileSync(file, content)
    await assert.rejects(plimsoll.heap.open(file), error => {
      assert.match(error.message, /^plimsoll: heap\.open\(\): .*damaged\.heapsnapshot: /)
      assert.match(error.message, expected)
      return true
    })
    assert.equal((await cli.plimsoll(['heap', 'summary', file])).code, 1)
  }
  await assert.rejects(plimsoll.heap.open(join(file, 'none')), /heap\.open\(\)/)
})

test('errors name the wrong argument', async t => {
  const [path] = snapshots(t, process.execPath, 10)
  const [heap] = await openAll(t, [path], { roots: 'gc' })
  for (const [call, expected] of [
    [() => plimsoll.heap.open(), /heap\.open\(path\) takes the path/],
    [() => plimsoll.heap.open(path, { root: 'gc' }), /no option 'root'/],
    [() => plimsoll.heap.open(path, { roots: 'all' }), /roots takes 'devtools' or 'gc'; got 'all'/],
    [() => heap.diff(path), /heap\.diff\(after\) takes a heap/],
    [() => heap.diff(heap, { final: {} }), /final takes a heap/],
    [() => heap.path(-1), /heap\.path\(id\) takes a whole number/],
    [() => heap.object('@1'), /heap\.object\(id\) takes a whole number/],
    [() => heap.dominators({ threshold: 101 }), /threshold takes percent/],
    [() => heap.summary(1), /takes no arguments/]
  ]) {
    await assert.rejects(call, error => error instanceof TypeError && expected.test(error.message))
  }
  await assert.rejects(heap.object(2 ** 32 - 1), /Error: plimsoll: heap\.object\(\): the snapshot has no object/)
  await assert.rejects(heap.path('NoSuchClass'), /no object of a class NoSuchClass/)
})
