#!/usr/bin/env node
'use strict'

const tty = require('node:tty')
const { build, BuildError } = require('../lib/build')
const { reasonOf } = require('../lib/no-binary')

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
 * Width and colours, which the native side cannot know. `process.stdout` is touched only if it is a terminal: for a pipe, Node makes the
 * file descriptor non-blocking, and writes to it from native code would then fail with EAGAIN.
 */
function terminal() {
  if (!tty.isatty(1)) return [80, false]
  return [process.stdout.columns || 80, process.stdout.hasColors()]
}

/** In JavaScript, since the app is. */
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
      'usage: plimsoll build\n\nBuilds the addon from source with cargo, for a platform without a published binary.\n'
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
  process.stderr.write(`plimsoll: ${message}\n`)
  process.exitCode = 1
}
