'use strict'

// An app outside, and one in a vm context, which has globals and a module registry of its own.

const fs = require('node:fs')
const { createRequire, isBuiltin } = require('node:module')
const path = require('node:path')
const vm = require('node:vm')

const copies = JSON.parse(process.env.COPIES)
const warnings = []
process.on('warning', ({ code, message }) => warnings.push({ code, message }))

const { drive } = require(process.env.SEEN)
const globals = { process, Buffer, console, setTimeout, setImmediate, clearTimeout, queueMicrotask, URL }
const context = vm.createContext(globals)
const loaded = new Map()

function load(file) {
  if (loaded.has(file)) return loaded.get(file).exports
  const module = { exports: {}, filename: file }
  loaded.set(file, module)
  if (file.endsWith('.json')) module.exports = JSON.parse(fs.readFileSync(file, 'utf8'))
  else {
    const code = `(function (module, exports, require, __filename, __dirname) {${fs.readFileSync(file, 'utf8')}\n})`
    const outer = createRequire(file)
    // ES modules stay outside: some of Express's dependencies have one for `require`.
    const require = name =>
      isBuiltin(name) || outer.resolve(name).endsWith('.mjs') ? outer(name) : load(outer.resolve(name))
    vm.runInContext(code, context, { filename: file })(module, module.exports, require, file, path.dirname(file))
  }
  return module.exports
}

function attempt(work) {
  try {
    return work()
  } catch (error) {
    return error
  }
}

async function main() {
  const within = createRequire(__filename)
  // The copy in the context is loaded first, and is gone before the other one.
  const inner = load(within.resolve(copies.plugin))
  const innerExpress = load(within.resolve('express'))
  const innerDrive = load(process.env.SEEN).drive
  const seen = [await innerDrive(innerExpress, inner, 'inside')]
  const outer = require(copies.app)
  seen.push(await drive(require('express'), outer, 'outside'))
  seen.push(await innerDrive(innerExpress, inner, 'again'))
  const names = Object.keys(inner)
  const errors = [
    vm.runInContext(
      'wrong => { try { wrong() } catch (error) { return error instanceof TypeError } }',
      context
    )(() => inner.limit('1 parsec')),
    attempt(() => outer.limit('1 parsec')) instanceof TypeError
  ]
  const addons = process.report.getReport().sharedObjects.filter(file => file.endsWith('.node'))
  console.log(JSON.stringify({ errors, names, seen, addons, warnings }))
}

main()
