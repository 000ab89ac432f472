'use strict'

/* The shop (apps/shop): builds it from its source, and drives it with a repeated mix of its routes at a rate. */

const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { setTimeout: pause } = require('node:timers/promises')
const ts = require('typescript')

const ROOT = path.join(__dirname, '..', '..')
const APPS = path.join(ROOT, '__test__', 'apps')
/** What runs: the kind of its modules, and TypeScript's options. Without options the source itself. */
const FORMS = {
  CommonJS: { type: 'commonjs', options: { module: 'commonjs' } },
  'ES modules': { type: 'module', options: { module: 'esnext' } },
  'TypeScript to CommonJS': { type: 'commonjs', options: { module: 'commonjs', inlineSourceMap: true } },
  'TypeScript to ES modules': { type: 'module', options: { module: 'esnext', sourceMap: true } },
  TypeScript: { type: 'module' }
}

/**
 * Builds the shop in an empty folder: `{ entry, file, lineOf }`. `entry` is started. `file(name)` is the file that a
 * report names: the source if it runs or has a map. `lineOf(name, text)` is the line of a text in it.
 */
function build(folder, form) {
  const { type, options } = FORMS[form]
  const source = path.join(APPS, 'shop')
  const target = path.join(folder, 'shop')
  fs.cpSync(source, target, { recursive: true })
  fs.writeFileSync(path.join(target, 'package.json'), JSON.stringify({ type }))
  fs.symlinkSync(path.join(APPS, 'support.js'), path.join(folder, 'support.js'))
  fs.mkdirSync(path.join(folder, 'node_modules'))
  for (const [name, place] of [
    ['express', path.join(ROOT, 'node_modules', 'express')],
    ['plimsoll', ROOT]
  ])
    fs.symlinkSync(place, path.join(folder, 'node_modules', name), 'junction')
  if (options !== undefined) compile(target, options)
  const isCompiled = options !== undefined
  const isSource = !isCompiled || options.sourceMap || options.inlineSourceMap
  const ending = isSource ? 'ts' : 'js'
  const text = name => fs.readFileSync(path.join(isSource ? source : target, `${name}.${ending}`), 'utf8')
  return {
    entry: path.join(target, isCompiled ? 'index.js' : 'index.ts'),
    file: name => path.join(target, `${name}.${ending}`),
    lineOf: (name, code) =>
      text(name)
        .split('\n')
        .findIndex(line => line.includes(code)) + 1
  }
}

/** Replaces each TypeScript file by its JavaScript, with its map if there is one. */
function compile(folder, options) {
  for (const name of fs.readdirSync(folder, { recursive: true }).filter(name => name.endsWith('.ts'))) {
    const file = path.join(folder, name)
    const { outputText, sourceMapText } = ts.transpileModule(fs.readFileSync(file, 'utf8'), {
      fileName: file,
      compilerOptions: { target: 'es2022', esModuleInterop: true, rewriteRelativeImportExtensions: true, ...options }
    })
    const script = file.replace(/\.ts$/, '.js')
    fs.writeFileSync(script, outputText)
    if (sourceMapText !== undefined) fs.writeFileSync(`${script}.map`, sourceMapText)
    fs.rmSync(file)
  }
}

/** Method, path and share of the mix. `:id` is a new number each time. */
const MIX = [
  ['GET', '/', 2],
  ['GET', '/health', 3],
  ['GET', '/users', 4],
  ['GET', '/users/:id', 6],
  ['POST', '/users', 2],
  ['PUT', '/users/:id', 2],
  ['DELETE', '/users/:id', 1],
  ['GET', '/users/:id/avatar', 3],
  ['GET', '/orders', 4],
  ['GET', '/orders/:id', 4],
  ['POST', '/orders', 3],
  ['PUT', '/orders/:id', 1],
  ['GET', '/orders/:id/items', 3],
  ['GET', '/reports', 2],
  ['GET', '/reports/:id', 3],
  ['POST', '/reports/:id/run', 1],
  ['GET', '/search', 4],
  ['GET', '/products', 5],
  ['GET', '/products/:id', 5],
  ['POST', '/products', 1],
  ['GET', '/cart', 2],
  ['POST', '/cart/items', 2],
  ['GET', '/categories/:id', 2]
].flatMap(([method, path, share]) => Array(share).fill({ method, path }))

const BODY = JSON.stringify({ sku: 1, note: 'hello there', quantity: 3 })
const STRIDE = 27

/** Sends the mix to a port until `signal` aborts, `rate` requests a second over `connections`. Resolves to the number of requests. */
async function load(port, { rate = 300, connections = 8, signal }) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  const begun = performance.now()
  let sent = 0
  const one = async () => {
    while (!signal.aborted) {
      const number = sent++
      const { method, path } = MIX[(number * STRIDE) % MIX.length]
      await request(agent, port, method, path.replace(':id', String(number % 997)))
      const ahead = begun + (sent * 1000) / rate - performance.now()
      if (ahead > 0) await pause(ahead)
    }
  }
  await Promise.all(Array.from({ length: connections }, one))
  agent.destroy()
  return sent
}

function request(agent, port, method, path) {
  return new Promise((resolve, reject) => {
    const headers = method === 'POST' || method === 'PUT' ? { 'content-type': 'application/json' } : {}
    const sending = http.request({ host: '127.0.0.1', port, method, path, agent, headers }, res => {
      res.resume()
      res.on('end', resolve)
      res.on('error', reject)
    })
    sending.on('error', reject)
    sending.end(headers['content-type'] === undefined ? undefined : BODY)
  })
}

module.exports = { build, load }
