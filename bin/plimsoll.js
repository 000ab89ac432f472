#!/usr/bin/env node
'use strict'

const tty = require('node:tty')
const { build, BuildError } = require('../lib/core/build-addon')
const { reasonOf } = require('../lib/core/no-binary')

/** Used if neither `COLUMNS` nor a terminal reports the width. */
const WIDTH = 80
const args = process.argv.slice(2)

if (args[0] === 'build') {
  runBuild(args.slice(1))
} else if (args[0] === 'soak') {
  runSoak()
} else {
  const binding = load()
  process.exitCode = binding ? binding.cli(args, ...terminal()) : 1
}

function load() {
  try {
    return require('../binding.js')
  } catch (error) {
    fail(reasonOf(error))
    return null
  }
}

/**
 * Width and colours, which native code cannot detect. `COLUMNS` applies on a terminal or not. `process.stdout` is
 * accessed only if it is a terminal: for a pipe, Node makes the file descriptor non-blocking, and writes from native
 * code would then fail with EAGAIN.
 */
function terminal() {
  const wanted = /^[1-9]\d{0,3}$/.test(process.env.COLUMNS ?? '') ? Number(process.env.COLUMNS) : 0
  if (!tty.isatty(1)) return [wanted || WIDTH, false]
  return [wanted || process.stdout.columns || WIDTH, process.stdout.hasColors()]
}

/** Runs in JavaScript, because it starts the app. */
async function runSoak() {
  const binding = load()
  if (binding === null) {
    process.exitCode = 2
    return
  }
  const { command } = require('../lib/soak/command.js')
  process.exitCode = await command(args, binding, terminal())
}

async function runBuild(rest) {
  if (rest.length > 0) {
    const help = rest[0] === '--help' || rest[0] === '-h'
    const usage =
      'Usage: plimsoll build\n\nBuilds the addon from source with cargo, for a platform without a published\nbinary.\n'
    if (help) process.stdout.write(usage)
    else fail(`build takes no arguments, got ${rest.join(' ')}\n${usage}`)
    return
  }
  try {
    await build()
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
    fail(error.message)
  }
}

function fail(message) {
  process.stderr.write(`${wrapped(`plimsoll: ${message}`)}\n`)
  process.exitCode = 1
}

/** Breaks lines between words. Texts that are printed with the addon are wrapped there. */
function wrapped(text) {
  return text.replaceAll(new RegExp(`(?![^\\n]{1,${WIDTH}}$)([^\\n]{1,${WIDTH}})\\s`, 'gm'), '$1\n')
}
