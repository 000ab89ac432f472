'use strict'

// The README is correct: its programs run, its commands exist, and its outputs are those of a real run.

const assert = require('node:assert/strict')
const { fork, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const manifest = require('../../package.json')
const { start } = require('../support/child.js')
const cli = require('../support/cli.js')
const { request } = require('../support/http.js')
const { blocksOf, missingFrom } = require('../support/readme.js')
const { check, programsOf } = require('../support/typescript.js')

const ROOT = path.join(__dirname, '..', '..')
const README = path.join(ROOT, 'README.md')
const SHOP = path.join(__dirname, '..', 'apps', 'readme')
const MOST_LINES = 160
/** Two snapshots are taken and compared at the lowest priority, which takes long on a busy machine. */
const DEADLINE_MS = 900_000
/** The width of the outputs in the README. */
const WIDTH = { COLUMNS: '100', TZ: 'UTC', NODE_OPTIONS: '' }

const COMMANDS = [
  `npm install ${manifest.name}`,
  'npx plimsoll show',
  'npx plimsoll soak app.js',
  'npm install && npm start',
  'npm install-test'
]

const blocks = blocksOf(README)
const of = language => blocks.filter(block => block.language === language).map(({ text }) => text)
const commands = of('sh').flatMap(text => text.trim().split('\n'))
const example = start => of('text').find(text => text.startsWith(start))

const POOL = `
let released = 0
const pool = { connect: async () => ({ query: async () => ({ rows: [{ id: 1 }] }), release: () => released++ }) }
app.get('/released', (req, res) => res.json(released))
`
/**
 * By a text that only that program contains: what is added before it, how its text is wrapped, and what a client sees
 * of it.
 */
const RUNS = {
  'app.listen(': {
    async see({ get }) {
      assert.deepEqual(await get('/users/7'), { status: 200, body: '{"id":"7"}' })
    }
  },
  'plimsoll.limit(': {
    tail: "app.use((req, res) => req.on('error', () => {}).resume().on('end', () => res.end('read')))",
    async see({ send }) {
      const body = Buffer.alloc(2 << 20)
      assert.equal((await send('/orders', body)).status, 413)
      assert.deepEqual(await send('/uploads/1', body), { status: 200, body: 'read' })
    }
  },
  'plimsoll.spool(': {
    async see({ send, folder }) {
      const { status, body } = await send('/videos', Buffer.alloc(1 << 20, 'v'))
      assert.deepEqual([status, body], [200, '{"bytes":1048576}'])
      const [video] = fs.readdirSync(folder)
      assert.equal(fs.statSync(path.join(folder, video)).size, 1 << 20)
    }
  },
  'plimsoll.scope(': {
    head: POOL,
    async see({ get }) {
      assert.deepEqual(await get('/orders/1'), { status: 200, body: '[{"id":1}]' })
      assert.equal((await get('/released')).body, '1')
    }
  },
  'plimsoll.shed(': {
    async see({ get }) {
      assert.equal((await get('/readyz')).status, 200)
      assert.match((await get('/metrics')).body, /^plimsoll_http_requests_total \d+$/m)
    }
  },
  'plimsoll.stats(': {
    wrap: text => `app.get('/report', async (req, res) => {\n${text}\nres.end()\n})`,
    async see({ get, output }) {
      for (let i = 0; i < 2; i++) assert.equal((await get('/report')).status, 200)
      assert.match(output(), /^GET \/report 1 [\d.]+$/m)
      assert.match(output(), /^v8-heap \d+/m)
    }
  }
}

let temporary

before(() => {
  temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-readme-'))
  const modules = path.join(temporary, 'node_modules')
  fs.mkdirSync(modules)
  fs.symlinkSync(ROOT, path.join(modules, 'plimsoll'), 'junction')
  fs.symlinkSync(path.join(ROOT, 'node_modules', 'express'), path.join(modules, 'express'), 'junction')
  fs.writeFileSync(
    path.join(temporary, 'port.js'),
    `const { Server } = require('node:net')
    const { listen } = Server.prototype
    Server.prototype.listen = function (...args) {
      this.once('listening', () => process.send({ port: this.address().port }))
      return listen.apply(this, args)
    }`
  )
})

after(() => fs.rmSync(temporary, { recursive: true, force: true, maxRetries: 3 }))

/** A snippet as a program: what it omits is declared before it, and it listens. */
function programOf(text, { head = '', tail = '', wrap = text => text } = {}) {
  const declared = name => text.includes(`const ${name} = `)
  const lines = ['express', 'plimsoll']
    .filter(name => !declared(name))
    .map(name => `const ${name} = require('${name}')`)
  if (!declared('app')) lines.push('const app = express()\napp.use(plimsoll())')
  const listens = text.includes('app.listen(') ? '' : 'app.listen(process.env.PORT)'
  return [...lines, head, wrap(text), tail, listens].join('\n')
}

/** Runs a program and passes a client of its server to `see`. */
async function run(name, program, see) {
  const file = path.join(temporary, `${name}.js`)
  const folder = path.join(temporary, name)
  fs.mkdirSync(folder)
  fs.writeFileSync(file, program.replaceAll('/srv/videos', folder))
  const env = { ...process.env, NODE_TEST_CONTEXT: '', PORT: '0', PLIMSOLL_DIR: temporary }
  const execArgv = ['--require', path.join(temporary, 'port.js')]
  const child = fork(file, { cwd: temporary, env, execArgv, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', text => {
      output += text
    })
  }
  try {
    const ended = once(child, 'exit').then(([code]) => assert.fail(`ended with ${code} before it listened:\n${output}`))
    const [{ port }] = await Promise.race([once(child, 'message'), ended])
    ended.catch(() => {})
    const ask = async (path, options) => {
      const { status, body } = await request(port, path, options)
      return { status, body }
    }
    await see({
      get: path => ask(path),
      send: (path, body) => ask(path, { method: 'POST', body, headers: { 'content-length': body.length } }),
      output: () => output,
      folder
    })
  } finally {
    child.kill('SIGKILL')
  }
}

function assertShown(output, part) {
  assert.deepEqual(missingFrom(output, part), [], `not in the output:\n${output}`)
}

describe('the README', () => {
  it(`has at most ${MOST_LINES} lines`, () => {
    assert.ok(fs.readFileSync(README, 'utf8').trimEnd().split('\n').length <= MOST_LINES)
  })

  it('has no program, command or output that is not run here', () => {
    for (const text of of('js')) assert.equal(runsOf(text).length, 1, text)
    assert.deepEqual(
      commands.filter(command => !COMMANDS.includes(command)),
      []
    )
    assert.deepEqual(
      blocks.map(({ language }) => language).filter(language => !['js', 'ts', 'sh', 'text'].includes(language)),
      []
    )
    assert.equal(of('text').length, 3)
  })

  for (const text of of('js')) {
    const [has, how] = runsOf(text)[0] ?? []
    if (has === undefined) continue
    it(`has a program that runs and answers: ${has})`, () => {
      return run(has.replaceAll(/\W/g, '-'), programOf(text, how), how.see)
    })
  }

  it('compiles in TypeScript, as the documents do', () => {
    const paths = {
      plimsoll: ['./index.d.ts'],
      'plimsoll/express': ['./express.d.ts'],
      'plimsoll/register': ['./register.d.ts']
    }
    const options = { module: 'nodenext', noUncheckedIndexedAccess: false, paths }
    const programs = {}
    for (const document of documents()) {
      for (const [name, text] of Object.entries(programsOf(document))) {
        programs[`${path.relative(ROOT, document).replaceAll(/\W/g, '-')}-${name}`] = text
      }
    }
    assert.deepEqual(check(ROOT, programs, { options, undeclared: true }), [])
  })

  it('installs what the package is called, and starts and tests what the manifest has', async () => {
    assert.ok(commands.includes(`npm install ${manifest.name}`))
    assert.ok(commands.includes('npm install && npm start') && commands.includes('npm install-test'))
    assert.equal(manifest.scripts.start, 'node examples/demo')
    const { code, stdout, stderr } = await node(['examples/demo', '--seconds', '2'])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /GET/)
  })

  it('shows what soak says of an app that leaks', async () => {
    const { code, stdout, stderr } = await node(['bin/plimsoll.js', 'soak', 'app.js'], { cwd: SHOP, env: WIDTH })
    assert.equal(code, 1, stderr)
    assertShown(stdout, example('app.js: failed'))
  })

  const linux = process.platform === 'linux' ? {} : { skip: 'snapshots by a child on Linux only' }
  it('shows the warning of a leak, and what `show` says of the crash that it ends in', linux, async t => {
    const dir = cli.folder(t)
    const server = await start('readme/server', {
      cwd: SHOP,
      execArgv: ['--expose-gc', '--max-old-space-size=160'],
      env: { PLIMSOLL_DIR: dir, TZ: 'UTC' }
    })
    t.after(() => server.stop())
    const warning = await leak(server)
    t.diagnostic(warning)
    assertShown(warning, example('plimsoll: leak'))
    await overfill(server)
    const { stdout, stderr } = await cli.plimsoll(['show', 'shop'], { ...WIDTH, PLIMSOLL_DIR: dir })
    assert.equal(stderr, '')
    t.diagnostic(stdout)
    assertShown(stdout, example('shop, pid'))
  })
})

function runsOf(text) {
  return Object.entries(RUNS).filter(([has]) => text.includes(has))
}

function documents() {
  const entries = fs.readdirSync(path.join(ROOT, 'docs'), { recursive: true })
  return [README, ...entries.filter(name => name.endsWith('.md')).map(name => path.join(ROOT, 'docs', name))]
}

/** Runs a program of the repository to its end. */
function node(args, { cwd = ROOT, env } = {}) {
  const child = spawn(process.execPath, [path.join(ROOT, args[0]), ...args.slice(1)], {
    cwd,
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const out = { stdout: '', stderr: '' }
  for (const name of Object.keys(out)) {
    child[name].on('data', text => {
      out[name] += text
    })
  }
  return once(child, 'close').then(([code]) => ({ code, ...out }))
}

async function burst(
  server,
  round,
  agent,
  shares = { '/users/': 60 + ((round * 53) % 97), '/articles?': 60 + ((round * 71) % 89) }
) {
  for (const [path, count] of Object.entries(shares)) {
    await Promise.all(Array.from({ length: count }, (_, id) => request(server.port, `${path}${id}`, { agent })))
  }
}

/** Sends load and collects until the warning is complete. */
async function leak(server) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  const deadline = Date.now() + DEADLINE_MS
  for (let round = 0; Date.now() < deadline; round++) {
    await burst(server, round, agent)
    const { findings } = await server.ask('stats')
    const found = findings.find(({ kind }) => kind === 'leak')
    const whole =
      found?.class && found.route && /^plimsoll: leak: cache .* GET .*: User objects .*$/m.exec(warningOf(server))
    if (whole) return whole[0]
    await server.ask('gc')
    // The search for the rest waits for a quiet moment, at the lowest priority.
    if (found) await sleep(found.origin ? 3000 : 1000)
  }
  throw new Error(`not within ${DEADLINE_MS} ms:\n${server.output()}`)
}

function warningOf(server) {
  return server.output().replaceAll(/^\(node:\d+\) \[\w+\] Warning: /gm, '')
}

/** Sends requests until V8 ends the process, which cuts off the last of them. */
async function overfill(server) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  const load = (async () => {
    for (let round = 0; ; round++) await burst(server, round, agent, { '/users/': 100 })
  })()
  await Promise.all([assert.rejects(load), server.exited])
}
