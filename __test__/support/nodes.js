'use strict'

const { execFileSync } = require('node:child_process')
const { existsSync, readdirSync } = require('node:fs')
const { join } = require('node:path')

const folder = join(__dirname, '..', '..', '.node-versions', 'node_modules')

/** The available Node binaries, oldest first: the running one, and those that `scripts/node-versions.sh` installed. */
const nodes = find()

function find() {
  const found = [{ version: process.versions.node, path: process.execPath }]
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const path = join(folder, name, 'bin', 'node')
    if (existsSync(path))
      found.push({ version: execFileSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim(), path })
  }
  const seen = new Set()
  return found.filter(node => !seen.has(major(node)) && seen.add(major(node))).sort((a, b) => major(a) - major(b))
}

function major(node) {
  return Number.parseInt(node.version, 10)
}

/** A missing program: a skip with the reason on a developer's machine, a failure in CI. */
function missing(t, reason) {
  if (process.env.CI === 'true') throw new Error(`${reason} (CI must have it: see .ci/run)`)
  t.skip(reason)
}

/**
 * The Nodes of these major versions, or `null` after the test was skipped because one is missing. `const wanted =
 * need(t, [22, 24]); if (!wanted) return`
 */
function need(t, majors = [22, 24, 26]) {
  const wanted = majors.map(version => nodes.find(node => major(node) === version))
  const absent = majors.filter((_, i) => !wanted[i])
  if (absent.length === 0) return wanted
  missing(t, `Node ${absent.join(', ')} not installed: run scripts/node-versions.sh`)
  return null
}

module.exports = { nodes, need, missing, major }
