'use strict'

// npm run release:check [-- --offline]
//
// What must hold of the dependencies before a release: no known vulnerability, a licence that is accepted, no foreign registry, and notices
// that are up to date. Runs every check, then fails if one did. With --offline the advisories are those that cargo deny fetched last
// (in $CARGO_HOME/advisory-dbs), and npm audit, which asks the registry, is left out and named.

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
  if (offline && command === 'npm') return [name, 'LEFT OUT: it needs the registry']
  // npm run hands its own settings down, which npm audit would take for its own.
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  return [name, status === 0 ? 'passed' : `FAILED${error ? `: ${error.message}` : ''}`]
})

console.log('')
for (const [name, outcome] of outcomes) console.log(`${outcome.padEnd(8)} ${name}`)
if (outcomes.some(([, outcome]) => outcome.startsWith('FAILED'))) {
  console.log('\ncargo deny is installed by: cargo install --locked cargo-deny')
  process.exitCode = 1
}
