'use strict'

// The rooms of lib/ depend on each other in one direction, without a circle (docs/architecture.md).

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')

const LIB = path.join(__dirname, '..', '..', 'lib')

/** A room may require those of the lines above it. The files of lib/ itself may require all. */
const ORDER = [
  ['core'],
  ['request'],
  ['express', 'recorder'],
  ['body', 'heap', 'scope'],
  ['leaks', 'overload'],
  // soak/child runs in the process of the app that is soaked, register in the user's.
  ['tracking', 'soak', 'soak/child', 'register'],
  ['.']
]
const REQUIRE = /(?:\brequire(?:\.resolve)?\(\s*|\bimport\(\s*|\bfrom\s+)(['"])(\.[^'"]*)\1/g

function readLib() {
  const files = fs.readdirSync(LIB, { recursive: true }).map(file => file.split(path.sep).join('/'))
  const sources = files.filter(file => /\.[cm]?js$/.test(file))
  return new Map(sources.map(file => [file, fs.readFileSync(path.join(LIB, file), 'utf8')]))
}

/** Files by what each requires of the others. `sources`: texts by path. */
function importsOf(sources) {
  const imports = new Map()
  for (const [file, text] of sources) {
    const found = new Set()
    for (const [, , specifier] of text.matchAll(REQUIRE)) {
      const target = path.posix.join(path.posix.dirname(file), specifier)
      // Outside lib/: binding.js and package.json.
      if (target.startsWith('..')) continue
      const required = [target, `${target}.js`, `${target}/index.js`].find(each => sources.has(each))
      assert.ok(required, `${file} requires ${specifier}, which is not in lib/`)
      found.add(required)
    }
    imports.set(file, [...found])
  }
  return imports
}

function rank(file) {
  return ORDER.findIndex(rooms => rooms.includes(path.posix.dirname(file)))
}

/** `a -> b` for each import between rooms that does not point down. */
function upward(imports) {
  const found = []
  for (const [file, required] of imports) {
    for (const target of required) {
      const isWithin = path.posix.dirname(file) === path.posix.dirname(target)
      if (!isWithin && rank(target) >= rank(file)) found.push(`${file} -> ${target}`)
    }
  }
  return found
}

/** `a -> b -> a`, the first circle that is found, or null. */
function circle(imports) {
  const done = new Set()
  const way = []
  const visit = file => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file].join(' -> ')
    if (done.has(file)) return null
    way.push(file)
    for (const target of imports.get(file)) {
      const found = visit(target)
      if (found !== null) return found
    }
    way.pop()
    done.add(file)
    return null
  }
  for (const file of imports.keys()) {
    const found = visit(file)
    if (found !== null) return found
  }
  return null
}

const imports = importsOf(readLib())

test('each file of lib/ is in a room that has its place in the order', t => {
  const rooms = ORDER.flat()
  const strays = [...imports.keys()].filter(file => rank(file) === -1)
  assert.deepEqual(strays, [])
  for (const room of rooms) {
    const files = [...imports.keys()].filter(file => path.posix.dirname(file) === room)
    assert.ok(files.length > 0, `${room} is empty`)
    t.diagnostic(`${room === '.' ? 'lib itself' : room}: ${files.length} files`)
  }
  const arrows = [...imports.values()].reduce((sum, required) => sum + required.length, 0)
  t.diagnostic(`${imports.size} files, ${arrows} imports`)
})

test('a room requires only rooms below it', () => {
  assert.deepEqual(upward(imports), [])
})

test('no file requires itself by way of others', () => {
  assert.equal(circle(imports), null)
})

test('an import that points up or sideways, and a circle, would be found', () => {
  const imports = importsOf(
    new Map([
      ['core/a.js', "const { b } = require('../leaks')"],
      ['leaks/index.js', "function late() {\n  return require('../overload/c.js')\n}"],
      ['overload/c.js', "require('./d'); require('node:fs'); require('../../binding.js')"],
      ['overload/d.js', "import a from '../core/a.js'"]
    ])
  )
  assert.deepEqual(upward(imports), ['core/a.js -> leaks/index.js', 'leaks/index.js -> overload/c.js'])
  assert.equal(circle(imports), 'core/a.js -> leaks/index.js -> overload/c.js -> overload/d.js -> core/a.js')
})
