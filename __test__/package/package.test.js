'use strict'

// The package as a user gets it: packed, and installed into an empty folder with Express, without Rust and without
// install scripts. It is used from CommonJS, ESM and TypeScript, bundled, and by its command.

const assert = require('node:assert/strict')
const { execFile, execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { promisify } = require('node:util')
const { missing, need } = require('../support/nodes')
const { RESOLVERS, check, compile, imports, programsOf } = require('../support/typescript')

const run = promisify(execFile)
const root = path.join(__dirname, '..', '..')
/**
 * Tests that compile, or that install another package manager. `dev`: with the profile of the Rust tests, whose
 * dependencies are compiled already, instead of a release's.
 */
const whole = process.env.PLIMSOLL_PACKED
const { version } = require('../../package.json')
/** The oldest Rust that the manifest allows. */
const rust = /^rust-version = "(.*)"$/m.exec(fs.readFileSync(path.join(root, 'Cargo.toml'), 'utf8'))[1]

const SERVER = `
const app = express()
app.use(plimsoll({ name: 'package-test' }))
app.use(limit('10kb'))
app.post('/echo/:to', express.json(), (req, res) => res.json(req.body))
app.get('/metrics', plimsoll.metrics())
const server = app.listen(0, '127.0.0.1', async () => {
  const base = 'http://127.0.0.1:' + server.address().port
  const post = body => fetch(base + '/echo/you', { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  const echoed = await (await post('{"a":1}')).json()
  const refused = await post(JSON.stringify('a'.repeat(20000)))
  await refused.text()
  const metrics = await fetch(base + '/metrics')
  await metrics.text()
  const stats = plimsoll.stats()
  console.log(JSON.stringify({ echoed, refused: refused.status, metrics: metrics.status, requests: stats.requests, recorder: stats.recorder }))
  server.close()
  server.closeAllConnections()
})
`
const PROGRAMS = {
  'cjs.cjs': `const express = require('express')\nconst plimsoll = require('plimsoll')\nconst { limit } = plimsoll\n${SERVER}`,
  'default.mjs': `import express from 'express'\nimport plimsoll from 'plimsoll'\nconst { limit } = plimsoll\n${SERVER}`,
  'named.mjs': `import express from 'express'\nimport plimsoll, { limit, lastDeath, metrics, stats, usage } from 'plimsoll'
if (![limit, lastDeath, metrics, stats, usage].every(each => typeof each === 'function')) throw new Error('a named export is missing')\n${SERVER}`
}
const KILLED = `
const app = require('express')().use(require('plimsoll')({ name: 'fields' }))
app.get('/stuck/:id', () => setTimeout(() => process.kill(process.pid, 'SIGKILL'), 1000))
const server = app.listen(0, () => fetch('http://127.0.0.1:' + server.address().port + '/stuck/1'))
`
const TELLS = `
const plimsoll = require('plimsoll')
const app = require('express')().use(plimsoll({ name: 'fields' }))
app.get('/stats', (req, res) => res.json({ stats: plimsoll.stats(), death: plimsoll.lastDeath() }))
const server = app.listen(0, async () => {
  const url = 'http://127.0.0.1:' + server.address().port + '/stats'
  await (await fetch(url)).text()
  console.log(await (await fetch(url)).text())
  process.exit()
})
`
const BARE = "console.log(JSON.stringify(require('plimsoll').stats()))"

let temporary
let packed
let tarball
let apps
/** A folder with only `node`: no Rust on this PATH, nor any other tool. */
let bare

/** Runs a program in an app's folder with the bare PATH. Returns its output. */
async function node(cwd, args, options = {}) {
  const env = { ...process.env, PATH: bare, PLIMSOLL_DIR: temporary, ...options.env }
  const { stdout } = await run(options.node ?? process.execPath, args, { cwd, env, timeout: 60_000 })
  return stdout
}

async function npm(args, cwd) {
  const { stdout } = await run('npm', [...args, '--no-audit', '--no-fund', '--prefer-offline'], {
    cwd,
    timeout: 300_000
  })
  return stdout
}

/** The version in this repository's lockfile, which npm's cache has. */
function locked(name) {
  return JSON.parse(fs.readFileSync(path.join(root, 'node_modules', name, 'package.json'), 'utf8')).version
}

async function install(folder, dependencies) {
  const app = path.join(temporary, folder)
  fs.mkdirSync(app)
  fs.writeFileSync(path.join(app, 'package.json'), JSON.stringify({ private: true }))
  for (const [name, text] of Object.entries(PROGRAMS)) fs.writeFileSync(path.join(app, name), text)
  await npm(['install', '--ignore-scripts', '--save-exact', tarball, ...dependencies], app)
  return app
}

test('the documents name the Rust that the manifest does', () => {
  for (const [file, words] of [
    ['README.md', `(${rust} or later)`],
    ['docs/packaging.md', `Rust ${rust} or later`]
  ]) {
    assert.ok(fs.readFileSync(path.join(root, file), 'utf8').includes(words), `${file}: ${words}`)
  }
})

const hasAddon =
  fs.existsSync(path.join(root, 'binding.js')) && fs.readdirSync(root).some(name => name.endsWith('.node'))

describe('the packed package', { skip: !hasAddon && process.env.CI !== 'true' && 'no addon: npm run build' }, () => {
  before(async () => {
    temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-package-'))
    bare = path.join(temporary, 'bin')
    fs.mkdirSync(bare)
    fs.symlinkSync(process.execPath, path.join(bare, 'node'))
    // Without scripts: `prepare` would build again.
    const output = await npm(['pack', '--ignore-scripts', '--json', '--pack-destination', temporary], root)
    packed = JSON.parse(output)[0]
    tarball = path.join(temporary, packed.filename)
    const types = [`@types/node@${locked('@types/node')}`]
    apps = {
      4: await install('express-4', [
        `express@${locked('express4')}`,
        `@types/express@${locked('@types/express4')}`,
        ...types
      ]),
      5: await install('express-5', [
        `express@${locked('express')}`,
        `@types/express@${locked('@types/express')}`,
        ...types
      ])
    }
  })

  after(() => temporary && fs.rmSync(temporary, { recursive: true, force: true, maxRetries: 3 }))

  test('holds the binary, the sources that it is built from, the types and the licences, and nothing of the repository', () => {
    const files = packed.files.map(file => file.path)
    const name = require('../../lib/core/build-addon').platformName()
    for (const wanted of [
      `plimsoll.${name}.node`,
      'binding.js',
      'index.js',
      'index.d.ts',
      'express.js',
      'express.d.ts',
      'register.js',
      'register.d.ts',
      'bin/plimsoll.js',
      'lib/core/build-addon.js',
      'src/lib.rs',
      'crates/heap-snapshot/Cargo.toml',
      'crates/heap-snapshot/src/lib.rs',
      'Cargo.toml',
      'Cargo.lock',
      'build.rs',
      'LICENSE',
      'SECURITY.md',
      'THIRD-PARTY-NOTICES',
      'package.json'
    ]) {
      assert.ok(files.includes(wanted), `${wanted} is not in the tarball`)
    }
    const strangers = files.filter(file =>
      /^(__test__|target|bench|corpus|fuzz|scripts|examples|node_modules|\.)/.test(file)
    )
    assert.deepEqual(strangers, [])
  })

  test('runs nothing at installation and names no package that is not published', () => {
    const manifest = JSON.parse(fs.readFileSync(path.join(apps[5], 'node_modules/plimsoll/package.json'), 'utf8'))
    for (const script of ['preinstall', 'install', 'postinstall']) assert.equal(manifest.scripts?.[script], undefined)
    assert.equal(manifest.gypfile, undefined)
    assert.equal(manifest.optionalDependencies, undefined)
  })

  for (const major of [4, 5]) {
    for (const program of Object.keys(PROGRAMS)) {
      test(`serves, limits and measures beside express@${major} with no Rust on the PATH: ${program}`, async () => {
        served(await node(apps[major], [program]))
      })
    }
  }

  test('loads in every supported Node', async t => {
    for (const each of need(t) ?? []) served(await node(apps[5], ['named.mjs'], { node: each.path }))
  })

  test('enforces the limit in JavaScript where its binary is missing', async () => {
    await withoutBinary(apps[5], async () => {
      const { echoed, refused, metrics, requests } = JSON.parse(await node(apps[5], ['--no-warnings', 'cjs.cjs']))
      assert.deepEqual(
        { echoed, refused, metrics, total: requests.total },
        { echoed: { a: 1 }, refused: 413, metrics: 503, total: 0 }
      )
    })
  })

  for (const [consumer, programs] of [
    ['commonjs', ['app.js']],
    ['commonjs-interop', ['app.js']],
    ['nodenext', ['app.cjs', 'app.mjs']],
    ['bundler', ['bundle.mjs']]
  ]) {
    for (const major of [4, 5]) {
      test(`compiles in TypeScript under ${consumer} beside express@${major}, and runs`, async () => {
        const folder = path.join(apps[major], consumer)
        fs.cpSync(path.join(__dirname, '../types/consumers', consumer), folder, { recursive: true })
        compile(folder)
        if (consumer === 'bundler') bundle(path.join(folder, 'app.js'), path.join(folder, 'bundle.mjs'), 'esm')
        for (const program of programs) assert.equal(await node(folder, [program]), '413 true 1 scoped\n')
      })
    }
  }

  for (const [resolver, { options, ...language }] of Object.entries(RESOLVERS)) {
    test(`declares req.scope for those who ask for it, however they ask: ${resolver}`, () => {
      const use = 'export const close = (req: express.Request) => req.scope.defer(() => {})\n'
      const tell = (head, more) => {
        const files = { [`asks.${language.extension}`]: head + imports(language) + use }
        return check(apps[5], files, { options: { ...options, skipLibCheck: true, ...more } })
      }
      assert.match(tell('').join(), /^asks.*TS2339 Property 'scope' does not exist/)
      assert.deepEqual(tell("import type {} from 'plimsoll/express'\n"), [])
      assert.deepEqual(tell('/// <reference types="plimsoll/express" />\n'), [])
      assert.deepEqual(tell('', { types: ['plimsoll/express'] }), [])
    })
  }

  test("brings Node's types along where a program names none, as TypeScript 6 and 7 have it by default", () => {
    const files = { 'plain.mts': "import plimsoll from 'plimsoll'\nimport 'plimsoll/express'\nplimsoll()\n" }
    assert.deepEqual(check(apps[5], files, { options: { module: 'nodenext', types: [] } }), [])
  })

  test("compiles the README's code in TypeScript", () => {
    const programs = programsOf(path.join(root, 'README.md'))
    assert.ok(Object.values(programs).some(text => text.includes('req.scope.use(')))
    // The test declares what a document omits. For an array with a known element it uses the first.
    const options = { module: 'nodenext', noUncheckedIndexedAccess: false }
    assert.deepEqual(check(apps[5], programs, { options, undeclared: true }), [])
  })

  test('types every field of stats(), lastDeath() and `show --json` as it is', async () => {
    const dir = path.join(temporary, 'deaths')
    fs.mkdirSync(dir)
    const env = { PLIMSOLL_DIR: dir }
    // Killed with a request in flight. The next process reports it.
    const killed = await node(apps[5], ['-e', KILLED], { env }).catch(error => error)
    assert.equal(killed.signal, 'SIGKILL')
    const { stats, death } = JSON.parse(await node(apps[5], ['--no-warnings', '-e', TELLS], { env }))
    const command = path.join(apps[5], 'node_modules/.bin/plimsoll')
    const records = (await node(apps[5], [command, 'show', '--json', dir], { env }))
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    assert.equal(records.length, 2)
    const bare = await withoutBinary(apps[5], () => node(apps[5], ['--no-warnings', '-e', BARE]))

    const values = {
      stats: [stats, 'Stats'],
      bare: [JSON.parse(bare), 'Stats'],
      death: [death, 'Death'],
      records: [records, 'Record[]']
    }
    const declarations = Object.entries(values).map(
      ([name, [value, type]]) => `const ${name}: plimsoll.${type} = ${JSON.stringify(value)}`
    )
    const folder = path.join(apps[5], 'fields')
    fs.cpSync(path.join(__dirname, '../types/consumers/nodenext/tsconfig.json'), path.join(folder, 'tsconfig.json'))
    // A literal may not have fields that its type does not have.
    fs.writeFileSync(
      path.join(folder, 'fields.cts'),
      `import plimsoll = require('plimsoll')\n${declarations.join('\n')}\n`
    )
    compile(folder)
  })

  for (const format of ['cjs', 'esm']) {
    test(`runs from a bundle that leaves it external (esbuild, ${format})`, async () => {
      const out = path.join(apps[5], `bundle.${format === 'cjs' ? 'cjs' : 'mjs'}`)
      bundle(path.join(apps[5], 'named.mjs'), out, format)
      served(await node(apps[5], [out]))
    })
  }

  describe('its command', () => {
    const command = app => path.join(app, 'node_modules/.bin/plimsoll')

    test('is installed, and answers', async () => {
      assert.match(await node(apps[5], [command(apps[5]), '--help']), /show/)
      assert.equal(await node(apps[5], [command(apps[5]), '--version']), `plimsoll ${version}\n`)
    })

    test('ends quietly when nobody reads on', async () => {
      const child = spawn(process.execPath, [command(apps[5]), '--help'], { stdio: ['ignore', 'pipe', 'pipe'] })
      child.stdout.destroy()
      let errors = ''
      child.stderr.on('data', chunk => {
        errors += chunk
      })
      const signal = await new Promise(resolve => child.on('close', (_code, ended) => resolve(ended)))
      assert.deepEqual({ signal, errors }, { signal: null, errors: '' })
    })

    test('names the platform and the way out where no binary loads', async () => {
      await withoutBinary(apps[5], async () => {
        const error = await node(apps[5], [command(apps[5]), 'show']).catch(thrown => thrown)
        assert.equal(error.code, 1)
        assert.ok(error.stderr.includes(require('../../lib/core/build-addon').platformName()), error.stderr)
        assert.match(error.stderr, /npx\s+plimsoll\s+build/)
      })
    })

    test('says what to install where there is no cargo, and where it is too old', async () => {
      const none = await node(apps[5], [command(apps[5]), 'build']).catch(thrown => thrown)
      assert.equal(none.code, 1)
      const wanted = `needs Rust ${rust} or later,`
      assert.ok(unwrapped(none.stderr).includes(`${wanted} and \`cargo\` is not on the PATH`), none.stderr)
      assert.match(none.stderr, /rustup\.rs/)

      const old = path.join(temporary, 'old-cargo')
      fs.writeFileSync(old, '#!/bin/sh\necho "cargo 1.70.0 (ec8a8a0ca 2023-04-25)"\n', { mode: 0o755 })
      const error = await node(apps[5], [command(apps[5]), 'build'], { env: { CARGO: old } }).catch(thrown => thrown)
      assert.equal(error.code, 1)
      assert.ok(unwrapped(error.stderr).includes(`${wanted} but found cargo 1.70.0`), error.stderr)
    })

    test('builds the addon from the tarball', { skip: !whole && 'slow: PLIMSOLL_PACKED=1' }, async () => {
      await withoutBinary(apps[5], async () => {
        // The repository's own target folder has the built dependencies.
        const env = { ...process.env, CARGO_TARGET_DIR: process.env.CARGO_TARGET_DIR ?? path.join(root, 'target') }
        if (whole === 'dev') {
          env.CARGO = path.join(temporary, 'dev-cargo')
          fs.writeFileSync(env.CARGO, '#!/bin/bash\nexec cargo "${@/#--release/--profile=dev}"\n', { mode: 0o755 })
        }
        await run(process.execPath, [command(apps[5]), 'build'], {
          cwd: apps[5],
          env,
          timeout: 900_000,
          maxBuffer: 2 ** 26
        }).catch(tellOutput)
        served(await node(apps[5], ['cjs.cjs']))
      })
    })
  })

  test("runs under Yarn Plug'n'Play, unplugged", { skip: !whole && 'slow: PLIMSOLL_PACKED=1' }, async t => {
    const app = path.join(temporary, 'pnp')
    fs.mkdirSync(app)
    await npm(
      ['install', '--no-save', '--ignore-scripts', '--prefix', path.join(temporary, 'yarn'), '@yarnpkg/cli-dist@4'],
      temporary
    ).catch(error => missing(t, `@yarnpkg/cli-dist cannot be installed: ${error.message}`))
    const yarn = path.join(temporary, 'yarn/node_modules/@yarnpkg/cli-dist/bin/yarn.js')
    if (!fs.existsSync(yarn)) return
    fs.writeFileSync(path.join(app, 'package.json'), JSON.stringify({ private: true }))
    fs.writeFileSync(path.join(app, 'yarn.lock'), '')
    const programs = ['cjs.cjs', 'named.mjs']
    for (const program of programs) fs.writeFileSync(path.join(app, program), PROGRAMS[program])
    const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
    const env = {
      ...process.env,
      PLIMSOLL_DIR: temporary,
      YARN_NPM_REGISTRY_SERVER: registry,
      YARN_ENABLE_IMMUTABLE_INSTALLS: 'false',
      YARN_ENABLE_SCRIPTS: 'false',
      YARN_ENABLE_TELEMETRY: 'false',
      // Yarn sets this itself in a project of type "module".
      YARN_PNP_ENABLE_ESM_LOADER: 'true',
      YARN_GLOBAL_FOLDER: path.join(temporary, 'yarn-global')
    }
    const settings = { cwd: app, env, timeout: 300_000 }
    await run(
      process.execPath,
      [yarn, 'add', `plimsoll@file:${tarball}`, `express@${locked('express')}`],
      settings
    ).catch(tellOutput)
    for (const program of programs) {
      const { stdout } = await run(process.execPath, [yarn, 'node', program], settings).catch(tellOutput)
      served(stdout)
    }
    assert.ok(fs.readdirSync(path.join(app, '.yarn/unplugged')).some(name => name.startsWith('plimsoll-')))
  })
})

function served(output) {
  const { echoed, refused, metrics, requests, recorder } = JSON.parse(output)
  assert.deepEqual({ echoed, refused, metrics }, { echoed: { a: 1 }, refused: 413, metrics: 200 })
  assert.equal(requests.total, 3)
  assert.equal(requests.limited, 1)
  assert.ok(recorder.path.startsWith(temporary), recorder.path)
}

async function withoutBinary(app, work) {
  const folder = path.join(app, 'node_modules/plimsoll')
  const binary = path.join(folder, `plimsoll.${require('../../lib/core/build-addon').platformName()}.node`)
  const aside = path.join(temporary, 'aside.node')
  fs.renameSync(binary, aside)
  try {
    return await work()
  } finally {
    fs.renameSync(aside, binary)
  }
}

function bundle(entry, outfile, format) {
  require('esbuild').buildSync({
    entryPoints: [entry],
    outfile,
    format,
    bundle: true,
    platform: 'node',
    external: ['plimsoll', 'express']
  })
}

/** Shows the tool's own output. */
function tellOutput(error) {
  throw new Error(`${error.message}\n${error.stdout}\n${error.stderr}`)
}

/** The command breaks its lines between words. */
function unwrapped(text) {
  return text.replace(/\s+/g, ' ')
}
