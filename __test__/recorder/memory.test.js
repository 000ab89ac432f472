'use strict'

const assert = require('node:assert/strict')
const { execFile, execFileSync } = require('node:child_process')
const { writeFileSync } = require('node:fs')
const { join } = require('node:path')
const test = require('node:test')
const { promisify } = require('node:util')
const plimsoll = require('../..')
const { addon } = require('../support/cc.js')
const { start } = require('../support/child.js')
const cli = require('../support/cli.js')
const { until } = require('../support/http.js')
const { missing, need } = require('../support/nodes.js')

const MIB = 2 ** 20
const onlyLinux = process.platform === 'linux' ? false : 'the parts are known on Linux only'
const onlyGlibc = onlyLinux || (process.report.getReport().header.glibcVersionRuntime ? false : 'needs glibc')

const PARTS = [
  'v8-heap',
  'v8-other',
  'array-buffers',
  'v8-malloc',
  'malloc-in-use',
  'malloc-free',
  'jemalloc',
  'code',
  'mapped-files',
  'shared-memory',
  'thread-stacks',
  'unexplained'
]

function bytes(memory, ...names) {
  const chosen = memory.parts.filter(part => names.includes(part.name) && part.bytes !== 'unsupported')
  return chosen.reduce((sum, part) => sum + part.bytes, 0)
}

function addsUp(memory) {
  assert.deepEqual(
    memory.parts.map(part => part.name),
    PARTS
  )
  assert.equal(bytes(memory, ...PARTS), memory.rssBytes)
  for (const { bytes, meaning, advice } of memory.parts) {
    assert.ok(bytes === 'unsupported' || (Number.isSafeInteger(bytes) && bytes >= 0), `${bytes}`)
    assert.ok(meaning.length > 10 && !meaning.includes('\n'), meaning)
    assert.ok(advice === null || advice.length > 10)
  }
}

/** Makes a fresh process grow, and reads where its memory was before and after. */
async function growth(t, node, grow, args = []) {
  const app = await start('memory', { node, args, execArgv: ['--expose-gc'] })
  t.after(() => app.stop())
  await app.ask('gc')
  const before = await app.ask('where')
  await grow(app)
  const after = await app.ask('where')
  addsUp(before)
  addsUp(after)
  const grown = (...names) => bytes(after, ...names) - bytes(before, ...names)
  return { app, before, after, grown, rss: after.rssBytes - before.rssBytes }
}

/** Checks that the growth is in these parts, and almost nothing is unexplained. */
function shows(t, what, { after, grown, rss }, known, ...names) {
  const [share, rest] = [grown(...names) / rss, bytes(after, 'unexplained') / after.rssBytes]
  t.diagnostic(
    `${what}: RSS grew by ${(rss / MIB).toFixed(1)} MiB, ${(100 * share).toFixed(1)} % of it in ${names.join(' and ')}; ` +
      `unexplained are ${(100 * rest).toFixed(2)} % of ${(after.rssBytes / MIB).toFixed(0)} MiB`
  )
  assert.ok(rss >= 0.9 * known, `${what}: RSS grew by ${rss}`)
  assert.ok(share >= 0.9 && share <= 1.1, `${what}: ${share} of the growth is in ${names}`)
  assert.ok(rest <= 0.1, `${what}: ${rest} is unexplained`)
}

for (const version of [null, 22, 24, 26]) {
  const name = `growth shows in its part, and at most a tenth is unexplained (${version ? `Node ${version}` : 'this Node'})`
  test(name, { skip: onlyGlibc }, async t => {
    const node = version === null ? process.execPath : need(t, [version])?.[0].path
    const dir = cli.folder(t)
    const native = node && addon(t, 'grow', dir)
    if (!native) return

    const heap = await growth(t, node, app => app.ask('heap', 2_000_000))
    // Pages that a collection has just emptied are v8-other: V8 keeps them for reuse, and counts them in no space.
    shows(t, 'JS heap', heap, 180 * MIB, 'v8-heap', 'v8-other')
    const ofHeap = heap.grown('v8-heap') / heap.rss
    t.diagnostic(`JS heap: ${(100 * ofHeap).toFixed(1)} % in v8-heap alone`)
    assert.ok(ofHeap >= 0.8, `${ofHeap}`)

    const small = await growth(t, node, app => app.ask('buffers', { count: 4_000, bytes: 50_000 }))
    shows(t, 'small buffers', small, 4_000 * 50_000, 'array-buffers')
    const large = await growth(t, node, app => app.ask('buffers', { count: 32, bytes: 4 * MIB }))
    shows(t, 'large buffers', large, 128 * MIB, 'array-buffers')

    // Below malloc's threshold for mappings of their own, which is 128 KiB.
    const blocks = { count: 4_000, bytes: 50_000 }
    const fragments = await growth(
      t,
      node,
      async app => {
        await app.ask('allocate', blocks)
        await app.ask('punch')
      },
      [native]
    )
    shows(t, 'fragmented malloc', fragments, 4_000 * 50_000, 'malloc-in-use', 'malloc-free')
    const fenced = await growth(
      t,
      node,
      async app => {
        await app.ask('fence')
        await app.ask('allocate', blocks)
        await app.ask('punch')
      },
      [native]
    )
    shows(t, 'fragmented malloc that brk is refused to', fenced, 4_000 * 50_000, 'malloc-in-use', 'malloc-free')
    const half = (blocks.count * blocks.bytes) / 2
    assert.ok(
      Math.abs(fragments.grown('malloc-in-use') / half - 1) <= 0.1,
      `in use ${fragments.grown('malloc-in-use')}`
    )
    assert.ok(Math.abs(fragments.grown('malloc-free') / half - 1) <= 0.1, `free ${fragments.grown('malloc-free')}`)
    const { advice } = fragments.after.parts.find(part => part.name === 'malloc-free')
    assert.match(advice, /^glibc has \d+ MiB free: fragmentation\. plimsoll\.trim\(\).*MALLOC_ARENA_MAX=2/)

    const file = join(dir, 'mapped')
    writeFileSync(file, Buffer.alloc(128 * MIB, 1))
    const mapped = await growth(t, node, app => app.ask('map', file), [native])
    shows(t, 'mapped file', mapped, 128 * MIB, 'mapped-files')
  })
}

test('a buffer that was never written to is in no part', { skip: onlyGlibc }, async t => {
  const { grown, rss } = await growth(t, process.execPath, app => app.ask('untouched', 512 * MIB))
  assert.ok(rss < 32 * MIB, `${rss}`)
  assert.ok(grown('array-buffers') < 16 * MIB, `${grown('array-buffers')}`)
})

test("reports the platform's figures in addition to the parts", { skip: onlyGlibc }, async () => {
  const memory = await plimsoll.memory()
  addsUp(memory)
  assert.equal(memory.pid, process.pid)
  assert.ok(Math.abs(Date.now() - memory.at) < 60_000)
  assert.ok(memory.stalledMs >= 0)
  const { v8, glibc, jemalloc, cgroup } = memory
  assert.ok(v8.usedBytes > MIB && v8.physicalBytes > MIB && v8.limitBytes > v8.usedBytes)
  assert.ok(v8.spaces.some(space => space.name === 'old_space' && space.usedBytes > 0))
  assert.equal(glibc.arenaBytes, glibc.inUseBytes + glibc.freeBytes)
  assert.ok(jemalloc.allocatedBytes > 0 && jemalloc.residentBytes >= jemalloc.allocatedBytes)
  if (cgroup !== 'unsupported') {
    assert.ok(cgroup.limitBytes === null || cgroup.limitBytes > 0)
    if (cgroup.workingSetBytes !== 'unsupported') assert.ok(cgroup.workingSetBytes <= cgroup.usedBytes)
  }
  // Within what the test runner itself allocates meanwhile.
  assert.ok(Math.abs(memory.rssBytes - process.memoryUsage.rss()) < 32 * MIB)
})

test('calls of memory() that overlap share one reading', async () => {
  const first = plimsoll.memory()
  assert.equal(plimsoll.memory(), first)
  const [one, two] = [await first, await plimsoll.memory()]
  assert.notEqual(one, two)
})

test('trim() gives back what malloc holds free, and says how much, in the record too', { skip: onlyGlibc }, async t => {
  const dir = cli.folder(t)
  const native = addon(t, 'grow', dir)
  if (native === null) return
  const app = await start('memory', { args: [native], env: { PLIMSOLL_DIR: dir } })
  t.after(() => app.stop())
  await app.ask('allocate', { count: 4_000, bytes: 50_000 })
  await app.ask('punch')
  const before = await app.ask('where')
  const held = bytes(before, 'malloc-free')
  assert.ok(held > 90 * MIB, `${held}`)

  const trimmed = await app.ask('trim')
  t.diagnostic(JSON.stringify(trimmed))
  assert.equal(trimmed.freedBytes, trimmed.rssBeforeBytes - trimmed.rssAfterBytes)
  // Each hole retains the pages on which used blocks begin and end.
  assert.ok(trimmed.freedBytes >= 0.8 * held, `${trimmed.freedBytes} of ${held}`)
  assert.ok(trimmed.tookMs > 0 && trimmed.stalledMs >= 0)
  assert.equal(trimmed.malloc, true)
  const after = await app.ask('where')
  addsUp(after)
  assert.ok(bytes(after, 'malloc-free') <= 0.2 * held, 'and is no longer among the parts')

  await app.ask('clear')
  const again = await app.ask('trim')
  assert.ok(again.rssAfterBytes < trimmed.rssAfterBytes - 80 * MIB, 'what was in use is free now')
  const { events } = await until(async () => {
    const [record] = await cli.show(dir)
    return record.events.filter(event => event.type === 'trim').length === 2 && record
  }, 'both are in the record')
  assert.match(events.find(event => event.type === 'trim').detail, /^RSS [\d.]+ MiB before, [\d.]+ MiB after; took/)
})

test('there is one trim at a time: a second call gets the promise of the first', async t => {
  const app = await start('memory')
  t.after(() => app.stop())
  assert.deepEqual(await app.ask('trimTwice'), { same: true, later: true })
})

test('a worker thread may end while its memory is read and trimmed', async () => {
  const worker = `require(${JSON.stringify(join(__dirname, '..', '..'))}).memory(); require(${JSON.stringify(join(__dirname, '..', '..'))}).trim(); process.exit(7)`
  const script = `
    const { Worker } = require('node:worker_threads')
    let left = 10
    const next = () => {
      if (left-- === 0) return
      new Worker(${JSON.stringify(worker)}, { eval: true }).on('exit', code => { console.log(code); next() })
    }
    next()`
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script])
  assert.equal(stdout, '7\n'.repeat(10))
})

test('show reports where the RSS of a living and of a dead process is', { skip: onlyLinux }, async t => {
  const dir = cli.folder(t)
  const app = await start('memory', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => app.stop())
  await app.ask('heap', 1_000_000)
  // The record's figures of the heap are those of the last tick.
  const section = async () =>
    (await cli.plimsoll(['show', dir])).stdout.split('\n\n').find(text => /^Where the RSS/.test(text))
  const shown = await until(async () => {
    const text = await section()
    const share = Number(/^ {2}V8 heap +[\d.]+ MiB +([\d.]+) %/m.exec(text)?.[1])
    return share > 40 && text
  }, 'most is in the heap')
  assert.match(shown, /^Where the RSS is \([\d.]+ MiB now\)\n {2}V8 heap/)
  assert.match(shown, /^ {2}code +[\d.]+ MiB/m)
  assert.match(shown, /Only the process itself can report malloc's free memory: plimsoll\.memory\(\)/)
  // Its RSS is that of the sampler's last tick, twice a second.
  await until(async () => (await cli.show(dir))[0].process.rssBytes > 120 * MIB, 'the sampler has seen it')
  await app.stop()
  const after = await section()
  assert.match(after, /^Where the RSS is \([\d.]+ MiB at the last heartbeat\)\n {2}V8 heap/)
  assert.match(after, /^ {2}the rest /m)
})

test('memory() and trim() take no arguments', async () => {
  for (const value of [{}, null, 'heap', 0, true, []]) {
    for (const name of ['memory', 'trim']) {
      const message = new RegExp(`^plimsoll: ${name}\\(\\) takes no arguments; got `)
      await assert.rejects(plimsoll[name](value), { name: 'TypeError', message })
    }
  }
  // As a handler of a promise it gets an argument.
  assert.ok((await Promise.resolve().then(plimsoll.memory)).rssBytes > 0)
})

test('without the addon memory() says what Node knows, and trim() why it cannot', async () => {
  const script = `
    const plimsoll = require(${JSON.stringify(join(__dirname, '..', '..'))})
    plimsoll.memory().then(async memory => {
      const trim = await plimsoll.trim().catch(error => error.message)
      console.log(JSON.stringify({ memory, trim }))
    })`
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', script], {
    env: { ...process.env, PLIMSOLL: 'off' }
  })
  const { memory, trim } = JSON.parse(stdout)
  addsUp(memory)
  const known = memory.parts.filter(part => part.bytes !== 'unsupported').map(part => part.name)
  assert.deepEqual(known, ['v8-heap', 'array-buffers', 'v8-malloc', 'unexplained'])
  assert.ok(memory.v8.spaces.length > 3 && bytes(memory, 'v8-heap') > MIB)
  for (const name of ['glibc', 'jemalloc', 'cgroup', 'hugePageBytes', 'swappedBytes'])
    assert.equal(memory[name], 'unsupported')
  assert.match(memory.parts.find(part => part.name === 'malloc-free').meaning, /PLIMSOLL=off/)
  assert.equal(trim, 'plimsoll: no trim: switched off by PLIMSOLL=off')
  assert.equal(stderr, '')
})

/** The path of a library with a malloc, as the loader finds it. Null after the test was skipped. */
function library(t, name) {
  const known = execFileSync('ldconfig', ['-p'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env.PATH}:/sbin:/usr/sbin` }
  })
  const found = known.split('\n').find(line => line.includes(name))
  if (found === undefined) {
    missing(t, `${name} is not installed`)
    return null
  }
  return found.split(' => ')[1]
}

for (const [name, file, tells] of [
  ['jemalloc', 'libjemalloc.so.2', true],
  ['tcmalloc', 'libtcmalloc_minimal.so.4', true],
  ['mimalloc', 'libmimalloc.so.2', false]
]) {
  test(`names ${name} where it is preloaded, and knows what is its`, { skip: onlyGlibc }, async t => {
    const preloaded = library(t, file)
    const dir = cli.folder(t)
    const native = preloaded && addon(t, 'grow', dir)
    if (!native) return
    const env = { LD_PRELOAD: preloaded, PLIMSOLL_DIR: dir }
    const said = ({ parts }) => parts.map(({ meaning, advice }) => `${meaning} ${advice ?? ''}`).join('\n')

    const app = await start('memory', { args: [native], env })
    t.after(() => app.stop())
    const before = await app.ask('where')
    addsUp(before)
    assert.deepEqual([before.allocator, before.glibc], [name, 'unsupported'])
    const rest = bytes(before, 'unexplained')
    t.diagnostic(`${name}: ${(rest / MIB).toFixed(1)} MiB of ${(before.rssBytes / MIB).toFixed(0)} unexplained`)
    assert.ok(rest < 0.06 * before.rssBytes, `${rest} of ${before.rssBytes}`)

    await app.ask('allocate', { count: 4_000, bytes: 50_000 })
    await app.ask('buffers', { count: 32, bytes: 4 * MIB })
    const after = await app.ask('where')
    addsUp(after)
    const grown = part => bytes(after, part) - bytes(before, part)
    // Size classes: 50,000 bytes are rounded up to 57,344.
    const inUse = grown('malloc-in-use') / 2e8
    assert.ok(inUse > 0.9 && inUse < 1.2, `malloc in use: ${grown('malloc-in-use')}`)
    assert.ok(Math.abs(grown('array-buffers') / (128 * MIB) - 1) < 0.1, `buffers: ${grown('array-buffers')}`)
    assert.match(said(after), new RegExp(`${name}, instead of glibc`))
    assert.doesNotMatch(said(after), /glibc has|glibc's malloc|MALLOC_ARENA_MAX/)

    await app.ask('clear')
    const trimmed = await app.ask('trim')
    assert.equal(trimmed.malloc, tells ? true : 'unsupported')
    if (tells) assert.ok(trimmed.rssAfterBytes < after.rssBytes - 100 * MIB, JSON.stringify(trimmed))
    const shown = await cli.plimsoll(['show', dir])
    assert.match(shown.stdout, new RegExp(name))
  })
}
