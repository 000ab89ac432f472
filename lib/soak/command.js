'use strict'

/*
 * `npx plimsoll soak`: the call on a command line. Its arguments are parsed natively, with those of all other commands.
 */

const { writeFileSync } = require('node:fs')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { message, shown, stack } = require('../core/describe.js')
const { stopAll } = require('./app-process.js')
const { SoakError } = require('./error.js')
const { run } = require('./index.js')
const { appOf, settingsOf } = require('./options.js')
const { Progress } = require('./progress.js')

const CODES = { passed: 0, failed: 1, undecided: 2 }
const NO_VERDICT = 2
/** Exit codes as in shells: 128 plus the signal's number. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }

/** Resolves to the exit code. `terminal`: the width of standard output, and whether it has colours. */
async function command(args, binding, terminal) {
  const { options, code } = binding.soakOptions(args, ...terminal)
  if (options == null) return code
  for (const [signal, code] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      stopAll()
      process.exit(code)
    })
  }
  const call = JSON.parse(options)
  const progress = new Progress(process.stderr)
  const fail = text => process.stderr.write(binding.soakError(text, terminal[0]))
  let outcome
  try {
    const settings = settingsOf(await given(call))
    outcome = await run(appOf(call.app, process.cwd()), settings, step => progress.show(step))
  } catch (error) {
    const known = error instanceof SoakError || error instanceof TypeError
    outcome = { app: call.app, verdict: 'error', routes: [], error: known ? plain(error) : stack(error) }
  }
  progress.end()
  try {
    if (call.junit) writeFileSync(call.junit, binding.soakJunit(JSON.stringify(outcome)))
  } catch (error) {
    fail(`${call.junit} cannot be written: ${error.message}`)
    return NO_VERDICT
  }
  if (outcome.verdict === 'error') {
    fail(outcome.error)
    if (call.json) process.stdout.write(`${JSON.stringify(outcome)}\n`)
    return NO_VERDICT
  }
  process.stdout.write(
    call.json ? `${JSON.stringify(outcome)}\n` : binding.soakText(JSON.stringify(outcome), ...terminal)
  )
  return CODES[outcome.verdict]
}

/** Error messages with the names that the command line uses. */
function plain(error) {
  return message(error)
    .replace(/^plimsoll: (soak: )?/, '')
    .replace(/^soak\(app, options\): /, '')
}

/** The corresponding options of `plimsoll.soak()`. */
async function given({ route, routes, body, headers, status, noEvidence, nodeArgs, env, app, json, junit, ...same }) {
  const options = { execArgv: nodeArgs, env: Object.fromEntries(env.map(pairOf)), evidence: !noEvidence }
  for (const [name, value] of Object.entries(same)) if (value !== null) options[name] = value
  if (routes !== null) options.routes = await exportedBy(routes)
  if (route.length > 0) {
    options.routes = route.map(name => ({
      route: name,
      headers: headersOf(headers, body),
      ...(body === null || /^(GET|HEAD) /.test(name) ? {} : { body }),
      ...(status.length === 0 ? {} : { status })
    }))
  }
  return options
}

function pairOf(text) {
  const at = text.indexOf('=')
  if (at < 1) throw new TypeError(`--env takes NAME=VALUE; got ${text}`)
  return [text.slice(0, at), text.slice(at + 1)]
}

function headersOf(lines, body) {
  const headers = body !== null && /^\s*[[{]/.test(body) ? { 'content-type': 'application/json' } : {}
  for (const line of lines) {
    const [, name, value] = /^([^\s:]+):\s*(.*)$/.exec(line) ?? []
    if (name === undefined) throw new TypeError(`--header takes 'NAME: VALUE'; got ${line}`)
    headers[name.toLowerCase()] = value
  }
  return headers
}

async function exportedBy(file) {
  let module
  try {
    module = await import(pathToFileURL(path.resolve(file)))
  } catch (error) {
    // A module may throw any value.
    throw new SoakError(`${file} cannot be loaded: ${message(error)}`)
  }
  const routes = module.default?.routes ?? module.routes ?? module.default
  if (Array.isArray(routes)) return routes
  throw new SoakError(
    `${file} exports no routes. It must export an array, or an object with routes; got ${shown(routes)}`
  )
}

module.exports = { command }
