'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { nodes, major } = require('../../__test__/support/nodes.js')
const { table } = require('../harness/table.js')
const { compare, ROUNDS } = require('./compare.js')
const { suiteIn, kinds } = require('./kinds.js')

const HELP = `Usage: npm run suites -- --from FOLDER [options] [name…]

Runs the test suites of other packages without Plimsoll, with a wrapper that does
nothing, and with all of Plimsoll's middleware. Prints the tests that fail only
with Plimsoll. Each subfolder of FOLDER is a checkout of a package, installed and
built. Nothing is fetched. Names choose subfolders.

  --from FOLDER     the folder with the checkouts
  --node PATH       the Node binary for all suites. By default, Node's own tests
                    run on the Node of their version, and all others on this one
  --jobs N          parallel test files of Node's own suite (${os.availableParallelism()})
  --minutes N       time limit of a suite (10)
  --only PATTERN    runs only files of Node's own suite with PATTERN in the name
  --json FILE       writes the results to FILE
  --help            prints this text

Defaults are in parentheses. Exit code: 0 if no test differs, 1 if a test differs
or an internal error was reported, 2 if a suite could not run.
`

/** A mistake in the arguments. It is printed without a stack. */
class UsageError extends Error {}

function parse(argv) {
  const text = { type: 'string' }
  const options = {
    from: text,
    node: text,
    jobs: text,
    minutes: text,
    only: text,
    json: text,
    help: { type: 'boolean' }
  }
  let parsed
  try {
    parsed = parseArgs({ args: argv, options, allowPositionals: true })
  } catch (error) {
    throw new UsageError(`${error.message}; see --help`)
  }
  const { values, positionals } = parsed
  if (values.help) return { help: true }
  if (values.from === undefined) throw new UsageError('--from FOLDER is missing; see --help')
  const from = path.resolve(values.from)
  if (!fs.existsSync(from)) throw new UsageError(`--from: ${from} does not exist`)
  if (values.node !== undefined && !fs.existsSync(values.node))
    throw new UsageError(`--node: ${values.node} does not exist`)
  return {
    ...values,
    from,
    names: namesIn(from, positionals),
    jobs: positive('jobs', values.jobs ?? os.availableParallelism()),
    timeoutMs: positive('minutes', values.minutes ?? 10) * 60_000
  }
}

function positive(name, given) {
  const value = Number(given)
  if (Number.isInteger(value) && value > 0) return value
  throw new UsageError(`--${name} takes a positive integer, not '${given}'`)
}

function namesIn(from, wanted) {
  const folders = fs.readdirSync(from, { withFileTypes: true }).filter(entry => entry.isDirectory())
  const names = folders.map(({ name }) => name).sort()
  for (const name of wanted) {
    if (!names.includes(name)) throw new UsageError(`${from} has no ${name}; it has: ${names.join(', ')}`)
  }
  if (names.length === 0) throw new UsageError(`${from} has no checkouts`)
  return wanted.length > 0 ? wanted : names
}

/** The Node for a suite. Node's own tests need the Node of their version, or the next newer one. */
function nodeFor({ kind, version, name }, given) {
  if (given !== undefined) return path.resolve(given)
  if (kind !== 'node' || version === null) return process.execPath
  const found = nodes.find(node => major(node) >= version)
  if (found !== undefined) return found.path
  throw new Error(`${name} needs Node ${version}: run scripts/node-versions.sh, or use --node PATH`)
}

async function runSuite(name, config, scratch) {
  const suite = suiteIn(path.join(config.from, name))
  const node = nodeFor(suite, config.node)
  const runOnce = async (mode, only) => {
    const onProgress = results => progress(name, mode, results)
    const chosen = only ?? (suite.kind === 'node' ? chosenFiles(suite, config.only) : null)
    const results = await kinds[suite.kind](suite, { ...config, node, mode, scratch, only: chosen, onProgress })
    progress(name, mode, results, true)
    return results
  }
  const log = path.join(scratch, 'log')
  fs.rmSync(log, { force: true })
  const result = await compare(runOnce)
  const lines = fs.existsSync(log) ? fs.readFileSync(log, 'utf8').split('\n').filter(Boolean) : []
  return { name, ...result, faults: [...new Set(lines)].map(line => JSON.parse(line)) }
}

function chosenFiles({ folder }, pattern) {
  if (pattern === undefined) return null
  const files = fs.readdirSync(path.join(folder, 'test', 'parallel')).filter(file => file.includes(pattern))
  if (files.length === 0) throw new Error(`no test has '${pattern}' in its name`)
  return files
}

/** On a terminal, updates one line. Otherwise prints a line after each run. */
function progress(name, mode, results, isLast = false) {
  const { isTTY } = process.stderr
  if (!isTTY && !isLast) return
  const passed = [...results.values()].filter(result => result.passed).length
  const text = `${name}, ${mode}: ${passed} passed, ${results.size - passed} failed`
  process.stderr.write(isTTY ? `\r\u001b[K${text}${isLast ? '\n' : ''}` : `${text}\n`)
}

function render(results) {
  const head = ['suite', 'tests', 'pass bare', 'wrapper', 'Plimsoll', 'differ', 'unsteady', 'internal errors']
  const rows = results.map(({ name, tests, counts, differing, unsteady, faults }) => {
    const { bare, wrapper, plimsoll } = counts
    return [name, tests, bare, wrapper, plimsoll, differing.length, unsteady.length, faults.length]
  })
  const parts = [table(head, rows)]
  for (const { name, differing, unsteady, faults } of results) {
    parts.push(
      ...listed(
        `${name}: differ`,
        differing.map(({ title, message }) => `${title}: ${message}`)
      ),
      ...listed(
        `${name}: unsteady`,
        unsteady.map(({ title, failed }) => `${title}: failed ${failed} of ${ROUNDS} times`)
      ),
      ...listed(
        `${name}: internal errors`,
        faults.map(fault => fault.split('\n').slice(0, 2).join(' '))
      )
    )
  }
  return `${parts.join('\n\n')}\n`
}

function listed(title, lines) {
  return lines.length === 0 ? [] : [`${title}\n\n${lines.map(line => `- ${line}`).join('\n')}`]
}

async function main() {
  const config = parse(process.argv.slice(2))
  if (config.help) return process.stdout.write(HELP)
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-suites-'))
  process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }))
  const results = []
  let code = 0
  for (const name of config.names) {
    try {
      results.push(await runSuite(name, config, scratch))
    } catch (error) {
      // The others can still run.
      process.stderr.write(`suites: ${error.message}\n`)
      code = 2
    }
  }
  if (results.length > 0) process.stdout.write(render(results))
  if (config.json !== undefined) fs.writeFileSync(config.json, JSON.stringify(results, null, 2))
  const differs = results.some(({ differing, faults }) => differing.length + faults.length > 0)
  process.exitCode = differs ? 1 : code
}

main().catch(error => {
  process.stderr.write(`suites: ${error instanceof UsageError ? error.message : error.stack}\n`)
  process.exitCode = 2
})
