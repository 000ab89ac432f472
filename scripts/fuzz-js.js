'use strict'

// npm run fuzz:js [-- MINUTES]
//
// Runs the property tests of the JavaScript code repeatedly, each time with another seed. The tests share MINUTES
// (default: 10) equally. At the first failure it stops and prints the command that repeats the failure.
// The fuzz targets of the Rust code are in fuzz/.

const { spawnSync } = require('node:child_process')
const { randomInt } = require('node:crypto')
const path = require('node:path')

const root = path.join(__dirname, '..')

/** `rounds`: cases in one run. */
const TARGETS = [
  // Compares the limit that applies with the handler that Express runs.
  { file: '__test__/body/limit-routes.test.js', rounds: 60 },
  { file: '__test__/core/describe-random.test.js', rounds: 50_000 },
  { file: '__test__/soak/soak-har.test.js', rounds: 5000 }
]

function main() {
  const minutes = Number(process.argv[2] ?? 10)
  if (!(minutes > 0 && minutes <= 24 * 60))
    throw new Error(`MINUTES must be a number above 0 and at most ${24 * 60}; got ${process.argv[2]}`)
  const each = (minutes * 60_000) / TARGETS.length
  for (const target of TARGETS) if (!runFor(each, target)) return
}

function runFor(ms, { file, rounds }) {
  const until = performance.now() + ms
  let cases = 0
  do {
    const seed = randomInt(1, 2 ** 31)
    const env = { ...process.env, PLIMSOLL_SEED: String(seed), PLIMSOLL_ROUNDS: String(rounds) }
    const options = { cwd: root, env, encoding: 'utf8', maxBuffer: 1 << 28 }
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--test', file], options)
    if (status !== 0) {
      console.error(
        `${stdout}${stderr}\nTo repeat it: PLIMSOLL_SEED=${seed} PLIMSOLL_ROUNDS=${rounds} node --test ${file}`
      )
      process.exitCode = 1
      return false
    }
    cases += rounds
  } while (performance.now() < until)
  console.log(`${file}: ${cases} cases, no failure`)
  return true
}

main()
