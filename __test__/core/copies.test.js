'use strict'

// All copies of plimsoll in a process act as one, from any path and any number of them.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { install, link } = require('../support/copies.js')
const { folder } = require('../support/cli.js')

const SEEN = path.join(__dirname, '..', 'support', 'seen.js')
const FILES = 12

/** Runs a program in a test's folder: `{ code, output }`. */
function run(dir, args, env = {}) {
  const set = { ...process.env, NODE_TEST_CONTEXT: '', PLIMSOLL: '', PLIMSOLL_DIR: dir, SEEN, ...env }
  return new Promise(resolve => {
    execFile(process.execPath, args, { cwd: dir, env: set, timeout: 240_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, output: stdout + stderr })
    )
  })
}

function lines(file) {
  return fs
    .readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
}

/** All test files of one process have the same listeners, the same depth of the stack, and one count of requests. */
function actAsOne(seen) {
  const [first] = seen
  seen.forEach(({ name, frames, wrappers, listeners, record, routes, total }, at) => {
    const { wrappers: same, listeners: theirs, record: one } = first
    assert.deepEqual({ wrappers, listeners, record }, { wrappers: same, listeners: theirs, record: one }, name)
    // While asynchronous spans are sampled a callback has some more frames.
    assert.ok(Math.abs(frames - first.frames) <= 4, `${name}: ${frames} frames, and ${first.frames} at first`)
    assert.equal(total, first.total + 5 * at, name)
    // Mounted at a regular expression of the test file's own global.
    assert.ok(routes.includes(`\\/${name}/users/:id`), `${name}: ${routes}`)
    assert.ok(routes.includes(`/${name}/body`), `${name}: ${routes}`)
  })
}

for (const [express, reset] of [
  ['express', '0'],
  ['express', '1'],
  ['express4', '1']
]) {
  const how = reset === '1' ? 'with resetModules' : 'one module registry a file'
  test(`${FILES} test files of Jest in one process share one runtime: ${express}, ${how}`, async t => {
    const dir = folder(t)
    install(dir)
    link(dir, express)
    fs.writeFileSync(path.join(dir, 'package.json'), '{}')
    for (let at = 0; at < FILES; at++)
      fs.copyFileSync(path.join(__dirname, '../apps/jest/case.js'), path.join(dir, `file${at}.test.js`))
    const config = { rootDir: dir, transform: {}, watchman: false, cacheDirectory: path.join(dir, 'cache') }
    const results = path.join(dir, 'results')
    const { code, output } = await run(
      dir,
      [require.resolve('jest/bin/jest'), '--runInBand', '--ci', '--config', JSON.stringify(config)],
      { NODE_ENV: 'test', EXPRESS: express, RESET: reset, RESULTS: results }
    )
    assert.equal(code, 0, output)
    assert.doesNotMatch(output, /MaxListenersExceeded|PLIMSOLL_|torn down/, output)
    const seen = lines(results)
    assert.equal(seen.length, 2 * FILES)
    actAsOne(seen)
  })
}

for (const [pool, flags] of [
  ['forks', ['--poolOptions.forks.singleFork']],
  ['vmThreads', ['--poolOptions.vmThreads.singleThread']]
]) {
  test(`test files of Vitest share one runtime: ${[pool, ...flags].join(' ')}`, async t => {
    const dir = folder(t)
    install(dir)
    link(dir, 'express', 'vitest')
    fs.writeFileSync(path.join(dir, 'package.json'), '{}')
    for (let at = 0; at < 4; at++)
      fs.copyFileSync(path.join(__dirname, '../apps/vitest/case.mjs'), path.join(dir, `file${at}.test.mjs`))
    const results = path.join(dir, 'results')
    const cli = path.join(path.dirname(require.resolve('vitest/package.json')), 'vitest.mjs')
    const args = [cli, 'run', '--root', dir, '--pool', pool, '--no-file-parallelism', ...flags]
    // Vitest's loader for vmThreads does not load Express's dependencies.
    const env = { NODE_ENV: 'test', RESULTS: results, OUTSIDE: pool === 'vmThreads' ? '1' : '' }
    const { code, output } = await run(dir, args, env)
    assert.equal(code, 0, output)
    assert.doesNotMatch(output, /MaxListenersExceeded|PLIMSOLL_/, output)
    const seen = lines(results)
    assert.equal(seen.length, 8)
    assert.equal(new Set(seen.map(({ pid }) => pid)).size, 1)
    actAsOne(seen)
  })
}

/** Runs `__test__/apps/copies/<name>.js` in a folder in which an app and a plugin have a copy installed each. */
async function beside(t, name, version, env = {}) {
  const dir = folder(t)
  const copies = { app: install(dir), plugin: install(path.join(dir, 'plugin'), version) }
  link(dir, 'express')
  const program = path.join(dir, 'program.js')
  fs.copyFileSync(path.join(__dirname, '../apps/copies', `${name}.js`), program)
  const { code, stdout, output } = await run(dir, [program], { COPIES: JSON.stringify(copies), ...env })
  assert.equal(code, 0, output)
  return { ...JSON.parse(stdout), output, copies }
}

test('two installed copies have the same functions, one record and one addon', async t => {
  const { same, names, addons, seen, warnings } = await beside(t, 'installed')
  assert.ok(names.length >= 20, `${names}`)
  assert.deepEqual(same, names)
  assert.equal(addons.length, 1)
  actAsOne(seen)
  assert.deepEqual(warnings, [])
})

/** A later version of the same line. */
const own = require('../../package.json').version
const newer = own.split('-', 1)[0].replace(/\d+$/, patch => Number(patch) + 1)

test('a newer copy of the same version line uses the older one, and warns once', async t => {
  const { same, names, seen, warnings, copies } = await beside(t, 'installed', newer, { APP_FIRST: '1' })
  assert.deepEqual(same, names)
  actAsOne(seen)
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['PLIMSOLL_COPIES']
  )
  for (const part of [own, newer, copies.app, copies.plugin, '`npm dedupe`'])
    assert.ok(warnings[0].message.includes(part), warnings[0].message)
})

test('an older copy uses the newer one, and does not warn', async t => {
  const { same, names, warnings } = await beside(t, 'installed', newer)
  assert.deepEqual(same, names)
  assert.deepEqual(warnings, [])
})

test('a copy in a vm context joins the one outside, and knows the values of its own global', async t => {
  const { errors, names, addons, seen, warnings } = await beside(t, 'vm')
  assert.deepEqual(names, Object.keys(require('../..')))
  // TypeErrors of an option, from the copy inside and the one outside.
  assert.deepEqual(errors, [true, true])
  assert.equal(addons.length, 1)
  actAsOne(seen)
  assert.deepEqual(warnings, [])
})

test('a copy of another version is passive: it enforces limits, patches nothing, and says so once', async t => {
  const version = '0.999.0'
  const { seen, guarded, scopes, listeners, reason, addons, warnings, copies } = await beside(t, 'other', version)
  assert.deepEqual(guarded, [
    [200, '10'],
    [413, 'request entity too large'],
    [200, '10']
  ])
  assert.deepEqual(scopes, ['function', 'done'])
  assert.deepEqual(listeners.after, listeners.before)
  assert.equal(addons.length, 1)
  actAsOne(seen)
  for (const part of [version, own, copies.app, copies.plugin]) assert.ok(reason.includes(part), reason)
  assert.equal(warnings.length, 1, JSON.stringify(warnings))
  assert.equal(warnings[0].code, 'PLIMSOLL_COPIES')
  assert.ok(warnings[0].message.includes(reason), warnings[0].message)
})

test('ES modules can import each function by its name', async () => {
  const names = Object.keys(require('../..')).sort()
  const imported = Object.keys(await import('../../index.js')).filter(
    name => !['default', 'module.exports'].includes(name)
  )
  assert.deepEqual(imported.sort(), names)
  assert.deepEqual(
    names,
    Object.keys(require('../../lib/api.js'))
      .filter(name => name !== 'plimsoll')
      .sort()
  )
})
