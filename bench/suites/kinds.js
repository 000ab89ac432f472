'use strict'

/*
 * The kinds of suites, and how to run them. A kind runs a suite in one mode. It returns a Map of the name of each test
 * that ran to `{ passed, message }`.
 */

const fs = require('node:fs')
const path = require('node:path')
const { run } = require('./child.js')

const RUNNERS = ['mocha', 'vitest', 'jest']
const ENDS = '(the process of the suite ends)'
const NODE_TESTS = /^test-(?:http|https|http2-compat)-.*\.m?js$/
const NODE_TEST_MS = 60_000
/** Options for Node, in the first lines of a test. */
const FLAGS = /^\/\/ Flags:(.*)$/gm

/** The suite in a folder: `{ name, kind, folder, … }`. Throws if there is none. */
function suiteIn(folder) {
  const name = path.basename(folder)
  const own = { name, folder }
  if (fs.existsSync(path.join(folder, 'test', 'parallel')))
    return { ...own, kind: 'node', version: nodeVersion(folder) }
  const file = path.join(folder, 'package.json')
  if (!fs.existsSync(file)) throw new Error(`${name}: it has neither a package.json nor Node's test/parallel`)
  const { scripts = {} } = JSON.parse(fs.readFileSync(file, 'utf8'))
  const command = commandOf(scripts, scripts.test, 0)
  if (command === null) throw new Error(`${name}: its script 'test' runs none of ${RUNNERS.join(', ')}`)
  const binary = path.join(folder, 'node_modules', '.bin', command.runner)
  if (!fs.existsSync(binary))
    throw new Error(`${name}: ${command.runner} is not installed there: run npm install in it`)
  return { ...own, ...command, kind: command.runner === 'mocha' ? 'mocha' : 'jest', binary }
}

/** The first call of a test runner in a script or in the scripts that it runs: `{ runner, args }`, or `null`. */
function commandOf(scripts, script, depth) {
  if (script === undefined || depth > 4) return null
  for (const part of script.split('&&')) {
    const words = part.trim().split(/\s+/)
    const at = words.findIndex(word => RUNNERS.includes(word))
    if (at !== -1)
      return { runner: words[at], args: words.slice(at + 1).map(word => word.replace(/^(['"])(.*)\1$/, '$2')) }
    const next = /\bnpm run ([\w:.-]+)/.exec(part)
    const found = next === null ? null : commandOf(scripts, scripts[next[1]], depth + 1)
    if (found !== null) return found
  }
  return null
}

/** The major version of Node that the tests belong to, or `null` if it is unknown. */
function nodeVersion(folder) {
  const sources = [
    ['src/node_version.h', /NODE_MAJOR_VERSION (\d+)/],
    ['node_version.ts', /version = "(\d+)/]
  ]
  for (const [file, pattern] of sources) {
    const at = path.join(folder, file)
    const found = fs.existsSync(at) ? pattern.exec(fs.readFileSync(at, 'utf8')) : null
    if (found !== null) return Number(found[1])
  }
  const digits = /(\d+)/.exec(path.basename(folder))
  return digits === null ? null : Number(digits[1])
}

const kinds = {
  async mocha(suite, { node, mode, scratch, timeoutMs, onProgress }) {
    const file = path.join(scratch, 'tests')
    fs.rmSync(file, { force: true })
    const env = { PLIMSOLL_SUITES_TESTS: file, PLIMSOLL_SUITES_LOG: path.join(scratch, 'log') }
    const args = [suite.binary, ...withoutBail(suite.args), '--reporter', path.join(__dirname, 'reporter.js')]
    const watching = setInterval(() => onProgress(resultsOf(file)), 1000)
    const ended = await run(node, args, { cwd: suite.folder, mode, env, timeoutMs })
    clearInterval(watching)
    const results = resultsOf(file)
    if (results.size === 0) throw new Error(`${suite.name} ran no test (${mode}):\n${ended.output}`)
    return results.set(ENDS, { passed: !ended.late, message: `stopped after ${timeoutMs / 1000} s` })
  },

  async jest(suite, { node, mode, scratch, timeoutMs }) {
    const file = path.join(scratch, 'results.json')
    fs.rmSync(file, { force: true })
    const env = { PLIMSOLL_SUITES_LOG: path.join(scratch, 'log') }
    const format = suite.runner === 'jest' ? ['--json'] : ['--reporter=json']
    const args = [suite.binary, ...suite.args, ...format, `--outputFile=${file}`]
    const ended = await run(node, args, { cwd: suite.folder, mode, env, timeoutMs })
    if (!fs.existsSync(file)) throw new Error(`${suite.name} wrote no results (${mode}):\n${ended.output}`)
    const results = new Map()
    for (const { name, assertionResults } of JSON.parse(fs.readFileSync(file, 'utf8')).testResults) {
      for (const { fullName, status, failureMessages } of assertionResults) {
        if (status !== 'passed' && status !== 'failed') continue
        const title = unused(results, `${path.relative(suite.folder, name)}: ${fullName.trim()}`)
        results.set(title, { passed: status === 'passed', message: firstLine(failureMessages?.[0]) })
      }
    }
    return results.set(ENDS, { passed: !ended.late, message: `stopped after ${timeoutMs / 1000} s` })
  },

  /** Runs each file in its own process, as Node's own runner does. */
  async node(suite, { node, mode, scratch, jobs, only, onProgress }) {
    const folder = path.join(suite.folder, 'test', 'parallel')
    const files = only ?? fs.readdirSync(folder).filter(file => NODE_TESTS.test(file))
    const results = new Map()
    const left = [...files]
    const work = async (_, thread) => {
      for (let file = left.shift(); file !== undefined; file = left.shift()) {
        const test = path.join(folder, file)
        const flags = [...fs.readFileSync(test, 'utf8').matchAll(FLAGS)].flatMap(([, flags]) =>
          flags.trim().split(/\s+/)
        )
        const env = {
          PLIMSOLL_SUITES_LOG: path.join(scratch, 'log'),
          NODE_TEST_DIR: scratch,
          TEST_THREAD_ID: String(thread),
          TEST_PARALLEL: '1'
        }
        const args = [...flags, test]
        const ended = await run(node, args, { cwd: suite.folder, mode, env, timeoutMs: NODE_TEST_MS })
        const passed = ended.code === 0 && !ended.late
        const message = ended.late ? `stopped after ${NODE_TEST_MS / 1000} s` : errorIn(ended)
        results.set(file, { passed, message })
        onProgress(results)
      }
    }
    await Promise.all(Array.from({ length: jobs }, work))
    return results
  }
}

/** Without the options that stop at the first failure or choose a reporter. */
function withoutBail(args) {
  const kept = []
  for (let at = 0; at < args.length; at++) {
    if (args[at] === '--bail' || args[at] === '-b') continue
    if (args[at] === '--reporter' || args[at] === '-R') at += 1
    else kept.push(args[at])
  }
  return kept
}

function resultsOf(file) {
  const results = new Map()
  if (!fs.existsSync(file)) return results
  for (const line of fs.readFileSync(file, 'utf8').split('\n').slice(0, -1)) {
    const { title, passed, message } = JSON.parse(line)
    results.set(unused(results, title), { passed, message: firstLine(message) })
  }
  return results
}

/** The title, with a number if an earlier test has the same one. */
function unused(results, title) {
  let name = title
  for (let number = 2; results.has(name); number++) name = `${title} (${number})`
  return name
}

function errorIn({ code, signal, output }) {
  const line = output.split('\n').find(line => /^\s*(?:\w*Error|Mismatched)\b/.test(line))
  return (line ?? `exit code ${code ?? signal}`).trim()
}

function firstLine(text) {
  return text === undefined ? '' : text.split('\n')[0]
}

module.exports = { suiteIn, kinds, NODE_TESTS }
