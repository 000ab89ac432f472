'use strict'

// npm run release:check [-- --offline]
//
// Checks the dependencies before a release: no known vulnerability, only accepted licences, no other registry, and
// notices that are up to date. Runs all checks, and fails if one of them failed.
//
// --offline uses the advisories that cargo deny fetched last (in $CARGO_HOME/advisory-dbs). It skips npm audit, which
// needs the registry.

const { spawnSync } = require('node:child_process')
const path = require('node:path')

const root = path.join(__dirname, '..')
const offline = process.argv.includes('--offline')
const deny = (...checks) => ['cargo', ['deny', '--locked', ...(offline ? ['--offline'] : []), 'check', ...checks]]

const CHECKS = {
  'licences, versions and sources of crates': deny('licenses', 'bans', 'sources'),
  'advisories of crates': deny('advisories'),
  'advisories of npm packages that users install': ['npm', ['audit', '--omit=dev']],
  'the notices': [process.execPath, [path.join(__dirname, 'third-party-notices.js'), '--check']]
}

const outcomes = Object.entries(CHECKS).map(([name, [command, args]]) => {
  console.log(`\n== ${name}: ${path.basename(command)} ${args.join(' ')}`)
  if (offline && command === 'npm') return [name, 'SKIPPED: it needs the registry']
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  return [name, status === 0 ? 'passed' : `FAILED${error ? `: ${error.message}` : ''}`]
})

console.log('')
for (const [name, outcome] of outcomes) console.log(`${outcome.padEnd(8)} ${name}`)
if (outcomes.some(([, outcome]) => outcome.startsWith('FAILED'))) {
  console.log('\nTo install cargo deny: cargo install --locked cargo-deny')
  process.exitCode = 1
}
