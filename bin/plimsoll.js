#!/usr/bin/env node
'use strict'

const tty = require('node:tty')
const { build, platformName, BuildError } = require('../lib/build')

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
    fail(
      `no binary for ${platformName()} with Node ${process.versions.node} can be loaded.\n` +
        `${reasons(error)}Reinstall without --omit=optional, or build it here with Rust: npx plimsoll build`
    )
    return null
  }
}

/** binding.js tries several names and chains the errors by `cause`; that a file is not there says nothing new. */
function reasons(error) {
  const told = []
  for (let each = error.cause; each instanceof Error; each = each.cause) {
    const [first] = each.message.split('\n')
    if (!first.startsWith('Cannot find module')) told.push(`  ${first}\n`)
  }
  return told.join('')
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
