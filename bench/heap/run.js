'use strict'

/*
 * Reads heap snapshots with Plimsoll, memlab, the worker of Chrome DevTools and the parser of VS Code. They run one after
 * the other, each in its own process. The first run installs the other tools into peers/. The snapshots stay in BENCH_DIR
 * or the temporary folder.
 */

const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const document = require('../harness/document')
const machine = require('../harness/machine')
const { summary } = require('../harness/stats')
const { fixed, grouped, table } = require('../harness/table')
const { BUNDLE, PEERS, newestNode, prepare } = require('./peers.js')

const PROGRAMS = path.join(__dirname, 'programs')
const CLI = path.join(__dirname, '..', '..', 'bin', 'plimsoll.js')
const FOLDER = path.join(process.env.BENCH_DIR || os.tmpdir(), 'plimsoll-bench-heap')
const MB = 1e6
/** In the snapshots of programs/make.js. Other objects need some megabytes. */
const BYTES_A_SESSION = 1680

const HELP = `node bench/heap/run.js [options]

  --sizes N[,…]      megabytes of the snapshots (10,100,500)
  --large            adds 1,500 MB
  --tasks NAME[,…]   summary, diff (both)
  --only NAME[,…]    plimsoll, memlab, devtools, v8-heap-parser (all)
  --runs N           runs of each tool, in turn (1). The table has the median and the range
  --timeout N        seconds for one run (900)
  --json FILE        writes all figures to FILE
  --write            writes the tables to docs/benchmarks.md

Defaults are in parentheses.`

/** `summary` and `diff` return the arguments for Node. A tool without a task has no row for it. */
const TOOLS = {
  plimsoll: { title: 'plimsoll', summary: file => [CLI, 'heap', 'summary', '--json', file], diff: plimsollDiff },
  memlab: child('memlab', 'memlab 2.0.5'),
  devtools: child('devtools', 'Chrome DevTools’ worker'),
  'v8-heap-parser': { ...child('v8-heap-parser', '@vscode/v8-heap-parser 0.1.0'), diff: null }
}

function plimsollDiff(before, after) {
  return [CLI, 'heap', 'diff', '--json', before, after]
}

function child(name, title) {
  const file = name === 'devtools' ? BUNDLE : path.join(PROGRAMS, `${name}.js`)
  const call = task => files => [file, task, ...files]
  return { title, summary: (...files) => call('summary')(files), diff: (...files) => call('diff')(files) }
}

function options() {
  const { values } = parseArgs({
    options: {
      sizes: { type: 'string', default: '10,100,500' },
      large: { type: 'boolean', default: false },
      tasks: { type: 'string', default: 'summary,diff' },
      only: { type: 'string', default: Object.keys(TOOLS).join(',') },
      runs: { type: 'string', default: '1' },
      timeout: { type: 'string', default: '900' },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  const sizes = values.sizes.split(',').map(Number)
  if (values.large) sizes.push(1500)
  return {
    ...values,
    sizes,
    tasks: values.tasks.split(','),
    only: values.only.split(','),
    runs: Number(values.runs),
    timeout: Number(values.timeout)
  }
}

/** The two snapshots of a size, written by this Node. The next run uses them again. */
function snapshots(size) {
  const file = name => path.join(FOLDER, `${process.versions.node}-${size}mb-${name}.heapsnapshot`)
  const [before, after] = [file('before'), file('after')]
  if (!fs.existsSync(after)) {
    fs.mkdirSync(FOLDER, { recursive: true, mode: 0o700 })
    process.stderr.write(`creating snapshots of ${size} MB …\n`)
    const sessions = Math.max(1, Math.round((size * MB - 4 * MB) / BYTES_A_SESSION))
    const made = `${after}.part`
    const args = ['--max-old-space-size=16000', path.join(PROGRAMS, 'make.js'), before, String(sessions), made]
    execFileSync(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    fs.renameSync(made, after)
  }
  return { before, after, bytes: fs.statSync(before).size }
}

/** Runs a tool in its own process: `{ wallSeconds, cpuSeconds, peakBytes, answer }`, or `{ failed }` with the reason. */
async function measure(name, args, timeout) {
  const node = name === 'devtools' ? newestNode() : process.execPath
  const began = process.hrtime.bigint()
  const flags = ['--max-old-space-size=16000', '--require', path.join(PROGRAMS, 'measure.js')]
  const program = spawn(node, [...flags, ...args], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  const timer = setTimeout(() => program.kill('SIGKILL'), timeout * 1000)
  const texts = await Promise.all([1, 2, 3].map(at => text(program.stdio[at])).concat(once(program, 'exit')))
  clearTimeout(timer)
  const [stdout, stderr, took, [code, signal]] = texts
  const wallSeconds = Number(process.hrtime.bigint() - began) / 1e9
  if (code !== 0) return { failed: signal ?? stderr.trim().split('\n').at(-1).slice(0, 200) }
  return { wallSeconds, ...JSON.parse(took), answer: JSON.parse(stdout.trim().split('\n').at(-1)) }
}

async function text(stream) {
  let all = ''
  for await (const chunk of stream.setEncoding('utf8')) all += chunk
  return all
}

/** A Map of each tool to its runs. The tools run in turn. */
async function rounds(task, files, config) {
  const tools = config.only.filter(name => TOOLS[name][task])
  const all = new Map(tools.map(name => [name, []]))
  for (let run = 1; run <= config.runs; run++) {
    for (const name of tools) {
      process.stderr.write(`${task}, ${name}, run ${run} of ${config.runs} …\n`)
      all.get(name).push(await measure(name, TOOLS[name][task](...files), config.timeout))
    }
  }
  return all
}

function row(title, bytes, runs) {
  const failure = runs.find(run => run.failed)
  if (failure) return [title, 'failed', failure.failed, '', '']
  const [wall, cpu, peak] = ['wallSeconds', 'cpuSeconds', 'peakBytes'].map(name => summary(runs.map(run => run[name])))
  const range = runs.length > 1 ? ` (${fixed(wall.min, 2)} to ${fixed(wall.max, 2)})` : ''
  const rate = `${grouped(bytes / MB / wall.median)} MB/s`
  return [title, fixed(wall.median, 2) + range, fixed(cpu.median, 2), `${grouped(peak.median / MB)} MB`, rate]
}

/** The time to read the file, and to find its numbers. No tool can take less. */
function lowerBound(file, bytes) {
  const program = path.join(PEERS, 'node_modules', '.cache', 'scan')
  try {
    fs.mkdirSync(path.dirname(program), { recursive: true })
    if (!fs.existsSync(program)) execFileSync('rustc', ['-O', '-o', program, path.join(__dirname, 'scan.rs')])
  } catch (error) {
    return `The lower bound was not measured: ${error.message.split('\n')[0]}`
  }
  const { reading, scanning, numbers } = JSON.parse(execFileSync(program, [file], { encoding: 'utf8' }))
  const time = seconds => `${fixed(seconds, 2)} s (${grouped(bytes / MB / seconds)} MB/s)`
  return `On one core, reading the first file takes ${time(reading)}, and finding its ${grouped(numbers / 1e6)} million numbers ${time(scanning)}.`
}

async function main() {
  const config = options()
  if (config.help) return console.log(HELP)
  const unknown = config.only.find(name => TOOLS[name] === undefined)
  if (unknown !== undefined) throw new Error(`no tool is called ${unknown}\n\n${HELP}`)
  await prepare(config.only)
  const described = machine.describe(process.execPath)
  const results = []
  const texts = ['### Reading heap snapshots']
  const print = text => {
    texts.push(text)
    console.log(`\n${text}`)
  }
  for (const size of config.sizes) {
    const { before, after, bytes } = snapshots(size)
    const bound = lowerBound(before, bytes)
    for (const [task, files] of [
      ['summary', [before]],
      ['diff', [before, after]]
    ]) {
      if (!config.tasks.includes(task)) continue
      const all = files.reduce((sum, file) => sum + fs.statSync(file).size, 0)
      process.stderr.write(`${size} MB\n`)
      const runs = await rounds(task, files, config)
      for (const [name, each] of runs) results.push({ size, task, name, bytes: all, runs: each })
      const rows = [...runs].map(([name, each]) => row(TOOLS[name].title, all, each))
      const what = task === 'summary' ? 'summary with retained sizes' : 'diff'
      print(`#### ${grouped(bytes / MB)} MB: ${what}`)
      print(table(['tool', 'wall s', 'CPU s', 'peak RSS', 'throughput'], rows))
      print(bound)
    }
  }
  print(machine.render(described, os.loadavg()))
  if (config.write) document.write('heap', described.node, texts)
  if (config.json) fs.writeFileSync(config.json, JSON.stringify(results, null, 2))
}

main().catch(error => {
  process.stderr.write(`${error.stack}\n`)
  process.exitCode = 1
})
