'use strict'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const test = require('node:test')
const esbuild = require('esbuild')
const origins = require('../../lib/core/call-site.js')

const LIB = require.resolve('../../lib/core/call-site.js')

/** A folder with these files, and the output of a program in it. */
function folder(t, files) {
  const path = mkdtempSync(join(tmpdir(), 'plimsoll-origin-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(path, name, '..'), { recursive: true })
    writeFileSync(join(path, name), text)
  }
  const run = (...args) => execFileSync(process.execPath, args, { cwd: path, encoding: 'utf8' }).trim()
  return { path, run }
}

test('a place is file, line and column, seen from where the process runs', () => {
  const trace = origins.take()
  assert.match(origins.read(trace), /^__test__[/\\]core[/\\]origin\.test\.js:27:\d+$/)
  assert.match(origins.caller(), /^__test__[/\\]core[/\\]origin\.test\.js:29:\d+$/)
})

test('inside a module it is the call site of the app, with the name of the module', t => {
  const { run } = folder(t, {
    'node_modules/@scope/pool/index.js': `const { caller } = require(${JSON.stringify(LIB)}); exports.take = () => caller()`,
    'node_modules/plain/index.js': `exports.take = () => require('@scope/pool').take()`,
    'src/app.js': `const take = () => require('plain').take()\nconsole.log(take())`
  })
  assert.match(run('src/app.js'), /^src[/\\]app\.js:1:\d+ \(@scope\/pool\)$/)
})

test('what no code of the app has called is named by its own place', t => {
  const { run } = folder(t, {
    'node_modules/plain/index.js': `exports.show = () => console.log(require(${JSON.stringify(LIB)}).caller())`,
    'app.js': `setImmediate(require('plain').show)`
  })
  assert.match(run('app.js'), /^node_modules[/\\]plain[/\\]index\.js:1:\d+$/)
})

test('source maps are honoured where Node has them on', t => {
  const { path, run } = folder(t, {
    'src/app.ts': `type Place = string | null\n\nconst { caller } = require(${JSON.stringify(LIB)})\n\nconst place: Place = caller()\nconsole.log(place)\n`
  })
  esbuild.buildSync({
    entryPoints: [join(path, 'src/app.ts')],
    outfile: join(path, 'dist/app.js'),
    platform: 'node',
    sourcemap: 'inline'
  })
  assert.match(run('--enable-source-maps', 'dist/app.js'), /^src[/\\]app\.ts:5:\d+$/)
  assert.match(run('dist/app.js'), /^dist[/\\]app\.js:\d+:\d+$/)
})
