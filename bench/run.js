'use strict'

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const document = require('./harness/document')
const machine = require('./harness/machine')
const { SUBJECTS } = require('./harness/subjects')
const { PARTS } = require('./sockets')
const { SCENARIOS } = require('./uploads')

// Each says what it is (`name`, `about`), measures (`run`, with the settings below) and writes its table (`render`).
const MEASUREMENTS = document.SECTIONS.filter(name => name !== 'heap').map(name => require(`./${name}`))

const SETTINGS = {
  // throughput
  rounds: 7,
  amount: 20000,
  warmup: 5000,
  connections: 50,
  // sockets
  socketsRounds: 4,
  socketsRate: 1200,
  socketsSeconds: 30,
  socketsWarmup: 5,
  // inprocess
  loopRounds: 9,
  turns: 150,
  loopWarmup: 10000,
  // spans
  spanRounds: 5,
  spanTurns: 60,
  // watch
  watchRounds: 3,
  watchTurns: 60,
  // leaks
  leakRounds: 3,
  leakTurns: 400,
  // calls
  callRounds: 5,
  batches: 2000,
  // growth
  growthRounds: 3,
  requests: 1000000,
  // shed
  shedRounds: 1,
  shedSeconds: 15,
  // uploads
  uploadRounds: 3,
  uploads: 50,
  // snapshot
  snapshotRounds: 10,
  snapshotMegabytes: 300
}

const QUICK = {
  rounds: 2,
  amount: 4000,
  warmup: 2000,
  socketsRounds: 1,
  socketsSeconds: 5,
  socketsWarmup: 2,
  loopRounds: 2,
  turns: 40,
  loopWarmup: 5000,
  spanRounds: 1,
  spanTurns: 20,
  watchRounds: 1,
  watchTurns: 20,
  leakRounds: 1,
  leakTurns: 100,
  callRounds: 2,
  batches: 500,
  growthRounds: 1,
  requests: 20000,
  shedSeconds: 8,
  uploadRounds: 1,
  uploads: 5,
  snapshotRounds: 2,
  snapshotMegabytes: 50
}

const HELP = `Usage: npm run bench -- [options]

Measures plimsoll beside a bare Express 5 app and beside what one would pick instead, and prints Markdown tables.
Progress goes to stderr. All load stays on the loopback interface, and every loop of it is bounded.

  --only NAME[,…]      ${MEASUREMENTS.map(({ name, about }) => `${name.padEnd(11)} ${about}`).join('\n                       ')}
  --servers NAME[,…]   of ${SUBJECTS.map(({ name }) => name).join(', ')};
                       the bare one always runs (growth: bare and plimsoll-limit unless given)
  --rounds N           rounds, or runs, of every measurement (throughput ${SETTINGS.rounds}, sockets ${SETTINGS.socketsRounds}, inprocess ${SETTINGS.loopRounds}, spans ${SETTINGS.spanRounds}, watch ${SETTINGS.watchRounds}, leaks ${SETTINGS.leakRounds}, calls ${SETTINGS.callRounds}, growth ${SETTINGS.growthRounds}, shed ${SETTINGS.shedRounds}, uploads ${SETTINGS.uploadRounds}, snapshot ${SETTINGS.snapshotRounds})
  --parts NAME[,…]     of ${PARTS.join(', ')}: what sockets switches on; the bare app always runs
  --rate N             requests a second in sockets (${SETTINGS.socketsRate})
  --seconds N          for so long in sockets, each server and round (${SETTINGS.socketsSeconds})
  --scenarios NAME[,…] of ${SCENARIOS.join(', ')}: what uploads measures
  --before FOLDER      another checkout, built: uploads measures its servers too, alternating with this one's
  --amount N           requests a server and round in throughput (${SETTINGS.amount})
  --requests N         requests at the end of growth, which starts counting at a fifth of them (${SETTINGS.requests})
  --connections N      connections of the load generator (${SETTINGS.connections})
  --quick              few and short rounds, to try whether everything works; the figures mean little
  --node PATH          the Node binary of servers and loops (this one)
  --json FILE          writes every round's figures there
  --write              writes the tables to docs/benchmarks.md, with machine, versions and date; each replaces the
                       one of the same measurement and major version of Node
  --help               this text

A full run takes an hour or more; --only throughput about six minutes, --only sockets a quarter of an hour.
`

// Something the caller can put right: no stack is needed.
class Refusal extends Error {}

function positive(name, text) {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Refusal(`--${name} takes a positive whole number, not '${text}'`)
  return value
}

function listed(name, text, known) {
  const names = text.split(',')
  for (const each of names) {
    if (!known.includes(each)) throw new Refusal(`--${name} takes ${known.join(', ')}, not '${each}'`)
  }
  return names
}

function checkout(folder) {
  const root = path.resolve(folder)
  if (!fs.existsSync(path.join(root, 'binding.js')))
    throw new Refusal(`--before takes a checkout of Plimsoll in which 'npm run build' has run, not '${folder}'`)
  return root
}

function parse(argv) {
  let values
  try {
    const options = { quick: { type: 'boolean' }, write: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } }
    for (const name of [
      'only',
      'servers',
      'parts',
      'scenarios',
      'before',
      'rounds',
      'rate',
      'seconds',
      'amount',
      'requests',
      'connections',
      'node',
      'json'
    ]) {
      options[name] = { type: 'string' }
    }
    values = parseArgs({ args: argv, options }).values
  } catch (error) {
    throw new Refusal(`${error.message} (--help tells more)`)
  }
  const config = { ...SETTINGS, ...(values.quick ? QUICK : {}) }
  if (values.rounds) {
    const rounds = positive('rounds', values.rounds)
    for (const name of [
      'rounds',
      'socketsRounds',
      'loopRounds',
      'spanRounds',
      'watchRounds',
      'leakRounds',
      'callRounds',
      'growthRounds',
      'shedRounds',
      'uploadRounds',
      'snapshotRounds'
    ])
      config[name] = rounds
  }
  for (const name of ['amount', 'requests', 'connections'])
    if (values[name]) config[name] = positive(name, values[name])
  for (const [name, setting] of [
    ['rate', 'socketsRate'],
    ['seconds', 'socketsSeconds']
  ])
    if (values[name]) config[setting] = positive(name, values[name])
  if (config.requests < 5 * config.connections)
    throw new Refusal('--requests takes at least five times the connections')
  if (values.write && values.quick) throw new Refusal('--write takes no --quick: its figures mean little')
  if (values.write && !document.hasMarkers())
    throw new Refusal(`--write: ${document.DOCUMENT} has no markers of recorded tables`)
  if (config.amount < config.connections) throw new Refusal('--amount takes at least one request a connection')

  const names = MEASUREMENTS.map(({ name }) => name)
  const subjects = SUBJECTS.map(({ name }) => name)
  return {
    ...config,
    help: values.help === true,
    quick: values.quick === true,
    write: values.write === true,
    only: values.only ? listed('only', values.only, names) : names,
    servers: values.servers ? listed('servers', values.servers, subjects) : subjects,
    scenarios: values.scenarios ? listed('scenarios', values.scenarios, SCENARIOS) : SCENARIOS,
    before: values.before ? checkout(values.before) : undefined,
    parts: values.parts ? listed('parts', values.parts, PARTS) : PARTS,
    serversGiven: values.servers !== undefined,
    node: values.node ? path.resolve(values.node) : process.execPath,
    json: values.json
  }
}

function install() {
  if (fs.existsSync(path.join(__dirname, 'node_modules', '.package-lock.json'))) return
  process.stderr.write('bench: installing the peers, once\n')
  const args = ['install', '--prefix', __dirname, '--no-audit', '--no-fund']
  // npm run hands its own settings down in the environment, a prefix among them.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(config|package)_/i.test(name)))
  const { status, error } = spawnSync('npm', args, { cwd: __dirname, env, stdio: ['ignore', 2, 2] })
  if (error) throw error
  if (status !== 0)
    throw new Error(`'npm ${args.join(' ')}' failed; without the peers there is nothing to compare with`)
}

function checkAddon(config) {
  const wanted =
    config.only.includes('calls') ||
    config.only.includes('sockets') ||
    config.only.includes('watch') ||
    config.only.includes('leaks') ||
    config.only.includes('shed') ||
    config.only.includes('uploads') ||
    config.servers.some(name => name.startsWith('plimsoll'))
  if (!wanted) return null
  const { missing, debug } = machine.addon()
  if (missing)
    throw new Error("the addon is not built: 'npm run build', or leave plimsoll out with --servers and --only")
  return debug ? 'The addon is a debug build: its figures say nothing. `npm run build` makes the real one.' : null
}

// The record goes where it goes in production, but into a folder that is gone afterwards.
function recordFolder() {
  const parent = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir()
  const folder = fs.mkdtempSync(path.join(parent, 'plimsoll-bench-'))
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

function renderVersions(versions) {
  const lines = Object.entries(versions).map(
    ([title, packages]) =>
      `- ${title}: ${Object.entries(packages)
        .map(([name, version]) => `${name} ${version}`)
        .join(', ')}`
  )
  return lines.join('\n')
}

async function main() {
  const config = parse(process.argv.slice(2))
  if (config.help) {
    process.stdout.write(HELP)
    return
  }
  if (process.platform !== 'linux') throw new Error('the bench reads /proc, so it runs on Linux only')
  if (!fs.existsSync(config.node)) throw new Refusal(`--node: there is no ${config.node}`)
  const warning = checkAddon(config)
  install()
  if (warning && config.write) throw new Refusal(`--write: ${warning}`)
  if (warning) process.stderr.write(`bench: ${warning}\n`)
  config.env = { NODE_ENV: 'production', PLIMSOLL_DIR: recordFolder() }
  const started = performance.now()
  config.progress = line => {
    const seconds = Math.round((performance.now() - started) / 1000)
    process.stderr.write(`[${String(seconds).padStart(4)} s] ${line}\n`)
  }

  const here = machine.describe(config.node)
  const results = {}
  const save = () => {
    if (!config.json) return
    const { progress, ...settings } = config
    fs.writeFileSync(config.json, `${JSON.stringify({ machine: here, settings, results }, null, 2)}\n`)
  }
  const texts = []
  for (const measurement of MEASUREMENTS.filter(({ name }) => config.only.includes(name))) {
    const result = await measurement.run(config)
    results[measurement.name] = result
    save()
    const text = measurement.render(result)
    texts.push(text)
    // After each one, so that a measurement that fails loses nothing of the others.
    if (config.write) {
      const parts = [text, machine.render(here, os.loadavg()), renderVersions(result.versions ?? {})]
      document.write(measurement.name, here.node, parts)
    }
  }
  const versions = Object.assign({}, ...Object.values(results).map(result => result.versions))
  const head = [machine.render(here, os.loadavg())]
  if (Object.keys(versions).length > 0) head.push(renderVersions(versions))
  if (warning) head.push(`**${warning}**`)
  if (config.quick) head.push('**A quick run, to try whether everything works: the figures mean little.**')
  process.stdout.write(`\n${[...head, ...texts].join('\n\n')}\n`)
}

main().catch(error => {
  const refused = error instanceof Refusal
  process.stderr.write(`bench: ${refused ? error.message : error.stack}\n`)
  process.exitCode = refused ? 2 : 1
})
