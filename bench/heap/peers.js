'use strict'

// Installs and bundles the tools that Plimsoll is compared with, on the first run.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { nodes, major } = require('../../__test__/support/nodes.js')

const PEERS = path.join(__dirname, 'peers')
const PROGRAMS = path.join(__dirname, 'programs')
const BUNDLE = path.join(PEERS, 'node_modules', '.cache', 'devtools.mjs')

/** The newest installed Node up to version 24. DevTools needs `Promise.withResolvers`. */
function newestNode() {
  return nodes.findLast(node => major(node) <= 24).path
}

async function prepare(only) {
  if (only.every(name => name === 'plimsoll')) return
  if (!fs.existsSync(path.join(PEERS, 'node_modules'))) {
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: PEERS, stdio: 'inherit' })
  }
  if (!only.includes('devtools') || fs.existsSync(BUNDLE)) return
  // The build of DevTools generates this module. Nothing that is measured needs it.
  const locales = {
    name: 'locales',
    setup(build) {
      build.onResolve({ filter: /^\.\/locales\.js$/ }, ({ path }) => ({ path, namespace: 'locales' }))
      const contents =
        'export const LOCALES = []; export const BUNDLED_LOCALES = []; export const DEFAULT_LOCALE = "en-US"; ' +
        'export const REMOTE_FETCH_PATTERN = ""; export const LOCAL_FETCH_PATTERN = ""'
      build.onLoad({ filter: /.*/, namespace: 'locales' }, () => ({ contents }))
    }
  }
  await require(path.join(PEERS, 'node_modules', 'esbuild')).build({
    entryPoints: [path.join(PROGRAMS, 'devtools.ts')],
    outfile: BUNDLE,
    bundle: true,
    platform: 'node',
    format: 'esm',
    nodePaths: [path.join(PEERS, 'node_modules')],
    plugins: [locales],
    logLevel: 'error'
  })
}

module.exports = { BUNDLE, PEERS, newestNode, prepare }
