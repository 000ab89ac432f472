'use strict'

const { spawnSync } = require('node:child_process')
const { join } = require('node:path')
const { missing } = require('./nodes.js')

/**
 * Compiles `__test__/fixtures/<name>.c` into an addon in `dir`. Returns its path, or null after the test was skipped
 * because there is no compiler.
 */
function addon(t, name, dir) {
  return compile(
    t,
    name,
    join(dir, `${name}.node`),
    process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []
  )
}

/** The same into a library for LD_PRELOAD. */
function preload(t, name, dir) {
  return compile(t, name, join(dir, `${name}.so`), [])
}

function compile(t, name, output, more) {
  const source = join(__dirname, '..', 'fixtures', `${name}.c`)
  const options = [
    '-O1',
    '-shared',
    '-fPIC',
    '-Wall',
    '-Wno-unused-parameter',
    '-Werror',
    '-o',
    output,
    source,
    ...more
  ]
  const { error, status, stderr } = spawnSync('cc', options, { encoding: 'utf8' })
  if (error?.code === 'ENOENT') {
    missing(t, 'no C compiler')
    return null
  }
  if (error || status !== 0) throw error ?? new Error(stderr)
  return output
}

module.exports = { addon, preload }
