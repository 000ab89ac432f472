'use strict'

// What the corpus promises to another tool: correct declarations, a setup in the app's process, a load that reports
// errors.

const assert = require('node:assert/strict')
const { readdirSync, readFileSync, writeFileSync, mkdtempSync, rmSync } = require('node:fs')
const { builtinModules } = require('node:module')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const test = require('node:test')
const corpus = require('../../corpus')
const { grows, kept, slope } = require('../../corpus/figures.js')
const { memwatch } = require('../../corpus/rules/memwatch.js')
const { nextLeak } = require('../../corpus/rules/next-leak.js')

const FOLDER = join(__dirname, '..', '..', 'corpus')

test('each app declares its kind, the cause and the place of its leak', () => {
  assert.ok(corpus.apps.length >= 29, 'twenty ways and nine look-alikes')
  for (const { name, mechanism, about, route, expected, twins } of corpus.apps) {
    assert.ok(mechanism && about.length > 100, name)
    assert.match(route, /^(GET|POST) \//, name)
    assert.ok(twins.includes('healthy'), name)
    assert.equal(twins.includes('leaky'), expected.leak || Object.keys(expected.kinds).length > 0, name)
    const wanted = [...(expected.leak ? ['leak', 'handler'] : []), ...Object.values(expected.kinds)]
    for (const place of wanted) assert.ok(expected.places[place] > 0, `${name} marks no ${place}`)
    if (expected.leak && expected.where !== 'descriptors') assert.ok(expected.class && expected.holder, name)
  }
})

test('it needs Node and express only', () => {
  const allowed = new Set(builtinModules)
  for (const file of readdirSync(FOLDER, { recursive: true }).filter(file => file.endsWith('.js'))) {
    for (const [, name] of readFileSync(join(FOLDER, file), 'utf8').matchAll(/require\('(.*?)'\)/g)) {
      assert.ok(name.startsWith('.') || allowed.has(name.replace('node:', '')), `${file} requires ${name}`)
    }
  }
  assert.deepEqual(Object.keys(require('../../corpus/package.json').peerDependencies), ['express'])
})

test('a setup gets the app before its routes and answers questions; with Express 4 as well', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'corpus-setup-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const setup = join(folder, 'setup.js')
  writeFileSync(
    setup,
    `module.exports = ({ app, twin, emitters }) => {
      let seen = 0
      app.use((req, res, next) => { if (req.path !== '/ping') seen++; next() })
      return { seen: add => ({ seen: seen + add, twin, emitters: Object.keys(emitters) }), fails: () => { throw new Error('on purpose') } }
    }`
  )
  for (const express of ['express', 'express4']) {
    const server = await corpus.start('once-that-never-comes', 'leaky', { setup, express })
    t.after(() => server.stop())
    await server.send(25)
    assert.deepEqual(await server.ask('seen', 1), { seen: 26, twin: 'leaky', emitters: ['bus'] })
    assert.deepEqual(server.load.statuses, { 200: 25 })
    await assert.rejects(server.ask('fails'), /on purpose/)
    await assert.rejects(server.ask('no such question'), /not a function/)
    const { heapUsed, external, rss } = await server.ask('memory')
    assert.ok(heapUsed > 0 && external > 0 && rss > heapUsed)
    await server.stop()
    await assert.rejects(server.ask('memory'), /has ended/)
  }
})

test('an answer that is not expected is an error, and so are an app and a twin that do not exist', async t => {
  const server = await corpus.start('lru-at-capacity', 'healthy')
  t.after(() => server.stop())
  server.load.load = { ...server.load.load, path: () => '/nowhere' }
  await assert.rejects(server.send(1), /GET \/nowhere was answered 404/)
  await assert.rejects(corpus.start('no-such-app', 'leaky'), /there are abort-listener/)
  await assert.rejects(corpus.start('lru-at-capacity', 'leaky'), /no leaky twin/)
})

test('whether it leaks depends on the Node', () => {
  const race = corpus.get('race')
  assert.equal(corpus.leaks(race, 'v24.21.0'), true)
  assert.equal(corpus.leaks(race, '26.0.0'), false)
  assert.equal(corpus.leaks(corpus.get('req-data')), false)
})

test("node-memwatch's rule: five growths in a row", () => {
  assert.equal(memwatch([1, 2, 3, 4, 5, 6]), true)
  assert.equal(memwatch([1, 2, 3, 4, 5]), false)
  // After one pause, the count restarts.
  assert.equal(memwatch([1, 2, 3, 4, 4, 5, 6, 7, 8]), false)
  assert.equal(memwatch([1, 2, 3, 4, 4, 5, 6, 7, 8, 9]), true)
})

test("next-leak's rule: each difference but the first over the gate, or steps that give nothing back", () => {
  const mb = values => values.map(value => value * 1024 * 1024)
  assert.equal(nextLeak(mb([10, 10.2, 10.5, 10.8, 11.1]), 1000), true, 'over 256 KiB each')
  assert.equal(nextLeak(mb([10, 10.2, 10.5, 10.8]), 7000), false, 'not over 350 KiB each')
  assert.equal(nextLeak(mb([10, 19, 19.1, 19.2, 19.2]), 1000), false, 'the first is dropped')
  assert.equal(nextLeak(mb([10, 10, 12, 12, 14, 14]), 1000), true, 'steps')
  assert.equal(nextLeak(mb([10, 10, 12, 11.4, 13, 12.4]), 1000), false, 'gives back a quarter')
  assert.equal(nextLeak(mb([10, 12, 14]), 1000), false, 'too few')
})

test('what is kept is the slope of the second half, whatever the first was and a few odd points are', () => {
  const line = Array.from({ length: 11 }, (_, i) => [i * 100, i * 100 * 7])
  assert.equal(slope(line), 7)
  line[5][1] += 10_000
  assert.equal(slope(line), 7)
  const rounds = Array.from({ length: 10 }, (_, i) => ({
    requests: (i + 1) * 100,
    heapUsed: Math.min(i, 4) * 1_000_000,
    external: i * 100 * 4000,
    rss: 1,
    descriptors: null
  }))
  assert.deepEqual(kept(rounds), { requests: 500, heap: 0, external: 4000, rss: 0, descriptors: null })
  assert.equal(grows(kept(rounds)), true)
  assert.equal(grows({ ...kept(rounds), external: 500 }), false)
  assert.equal(grows({ ...kept(rounds), external: 0, descriptors: 0.1 }), true)
})
