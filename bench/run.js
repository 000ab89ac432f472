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

// Each has a `name` and a line `about` it, `run(config)`, which measures, and `render(result)`, which returns its table.
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

Compares Plimsoll with a bare Express 5 app and with alternatives, and prints Markdown tables. Progress goes to stderr.
All load is bounded and stays on the loopback interface.

  --only NAME[,…]      ${MEASUREMENTS.map(({ name, about }) => `${name.padEnd(11)} ${about}`).join('\n                       ')}
  --servers NAME[,…]   ${SUBJECTS.map(({ name }) => name).join(', ')}
                       (all; growth: bare, plimsoll-limit). The bare app always runs
  --rounds N           rounds of every measurement (throughput ${SETTINGS.rounds}, sockets ${SETTINGS.socketsRounds}, inprocess ${SETTINGS.loopRounds}, spans ${SETTINGS.spanRounds}, watch ${SETTINGS.watchRounds}, leaks ${SETTINGS.leakRounds}, calls ${SETTINGS.callRounds}, growth ${SETTINGS.growthRounds}, shed ${SETTINGS.shedRounds}, uploads ${SETTINGS.uploadRounds}, snapshot ${SETTINGS.snapshotRounds})
  --parts NAME[,…]     sockets: ${PARTS.join(', ')} (all). The bare app always runs
  --rate N             sockets: requests a second (${SETTINGS.socketsRate})
  --seconds N          sockets: seconds for each server and round (${SETTINGS.socketsSeconds})
  --scenarios NAME[,…] uploads: ${SCENARIOS.join(', ')} (all)
  --before FOLDER      uploads: another built checkout, whose servers alternate with those of this one
  --amount N           throughput: requests for each server and round (${SETTINGS.amount})
  --requests N         growth: requests in total. The first fifth is warm-up (${SETTINGS.requests})
  --connections N      connections of the load generator (${SETTINGS.connections})
  --quick              few and short rounds, to check that everything works. Do not use the figures
  --node PATH          the Node binary for servers and loops (this one)
  --json FILE          writes the figures of all rounds to FILE
  --write              writes the tables to docs/benchmarks.md, with machine, versions and date. Each replaces the
                       table of the same measurement and major version of Node
  --help               prints this text

Defaults are in parentheses. A full run takes an hour or more, --only throughput about six minutes, and --only sockets
a quarter of an hour.
`

// A mistake in the arguments. It is printed without a stack.
class UsageError extends Error {}

function positive(name, text) {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UsageError(`--${name} takes a positive integer, not '${text}'`)
  return value
}

function listed(name, text, known) {
  const names = text.split(',')
  for (const each of names) {
    if (!known.includes(each)) throw new UsageError(`--${name} takes ${known.join(', ')}, not '${each}'`)
  }
  return names
}

function checkout(folder) {
  const root = path.resolve(folder)
  if (!fs.existsSync(path.join(root, 'binding.js')))
    throw new UsageError(`--before takes a checkout of Plimsoll in which 'npm run build' has run, not '${folder}'`)
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
    throw new UsageError(`${error.message}; see --help`)
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
    throw new UsageError('--requests must be at least five times --connections')
  if (values.write && values.quick) throw new UsageError('--write cannot record the figures of --quick')
  if (values.write && !document.hasMarkers())
    throw new UsageError(`--write: ${document.DOCUMENT} has no markers for recorded tables`)
  if (config.amount < config.connections) throw new UsageError('--amount must be at least --connections')

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
  process.stderr.write('bench: installing the peers, on the first run only\n')
  const args = ['install', '--prefix', __dirname, '--no-audit', '--no-fund']
  // Without the settings of `npm run`, which are in the environment: they include a prefix.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(config|package)_/i.test(name)))
  const { status, error } = spawnSync('npm', args, { cwd: __dirname, env, stdio: ['ignore', 2, 2] })
  if (error) throw error
  if (status !== 0) throw new Error(`'npm ${args.join(' ')}' failed. The benchmark needs the peers`)
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
    throw new Error("the addon is not built: run 'npm run build', or omit plimsoll with --servers and --only")
  return debug ? 'The addon is a debug build, so do not use the figures. Run `npm run build`.' : null
}

// A temporary folder for the records, on the same file system as in production.
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
  if (process.platform !== 'linux') throw new Error('the benchmark reads /proc, so it runs on Linux only')
  if (!fs.existsSync(config.node)) throw new UsageError(`--node: ${config.node} does not exist`)
  const warning = checkAddon(config)
  install()
  if (warning && config.write) throw new UsageError(`--write: ${warning}`)
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
    // After each measurement, so that a later error does not lose its table.
    if (config.write) {
      const parts = [text, machine.render(here, os.loadavg()), renderVersions(result.versions ?? {})]
      document.write(measurement.name, here.node, parts)
    }
  }
  const versions = Object.assign({}, ...Object.values(results).map(result => result.versions))
  const head = [machine.render(here, os.loadavg())]
  if (Object.keys(versions).length > 0) head.push(renderVersions(versions))
  if (warning) head.push(`**${warning}**`)
  if (config.quick) head.push('**A quick run, which only checks that everything works. Do not use the figures.**')
  process.stdout.write(`\n${[...head, ...texts].join('\n\n')}\n`)
}

main().catch(error => {
  const isUsage = error instanceof UsageError
  process.stderr.write(`bench: ${isUsage ? error.message : error.stack}\n`)
  process.exitCode = isUsage ? 2 : 1
})
