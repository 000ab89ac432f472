'use strict'

/*
 * The routes of a running server's record, from `plimsoll show --json`.
 */

const { execFile } = require('node:child_process')
const { join } = require('node:path')
const { promisify } = require('node:util')
const { ROOT } = require('../core/folders.js')
const { SoakError } = require('./error.js')

const BIN = join(ROOT, 'bin', 'plimsoll.js')
const MOST_BYTES = 256 * 1024 * 1024
/** Rare routes do not fill a process. */
const MOST_ROUTES = 20

/**
 * `{ routes, left }`. `routes` can be requested, the most frequent first: GET routes whose pattern can be filled in, and
 * that respond.
 */
async function fromRecord(target) {
  let records
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [BIN, 'show', target, '--json'], {
      maxBuffer: MOST_BYTES
    })
    records = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
  } catch (error) {
    throw new SoakError(
      `no record ${target} can be read: ${(error.stderr ?? error.message).trim().replace(/^plimsoll: /, '')}`
    )
  }
  const counts = new Map()
  const others = new Set()
  for (const { routes } of records) {
    for (const { method, route, status, count } of routes) {
      const name = `${method} ${route}`
      if (method === 'GET' && /^\/[\w\-.~/:%@]*$/.test(route) && /^[23]/.test(status))
        counts.set(name, (counts.get(name) ?? 0) + count)
      else others.add(name)
    }
  }
  if (counts.size === 0) {
    const seen = others.size === 0 ? 'it has none' : `it has ${[...others].slice(0, 5).join(', ')}`
    throw new SoakError(
      `the record ${target} has no GET route that succeeded and can be sent as recorded: ${seen}. Bodies are not recorded`
    )
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name)
  const left = [...sorted.slice(MOST_ROUTES), ...others].filter(name => !sorted.slice(0, MOST_ROUTES).includes(name))
  return { routes: sorted.slice(0, MOST_ROUTES), left: [...new Set(left)] }
}

module.exports = { fromRecord }
