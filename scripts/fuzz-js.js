'use strict'

// npm run fuzz:js [-- MINUTES]
//
// Runs the property tests of JavaScript again and again with other seeds, for MINUTES (10 unless given), shared among them, and stops at the
// first failure with the command that repeats it. What is Rust has targets in fuzz/.

const { spawnSync } = require('node:child_process')
const { randomInt } = require('node:crypto')
const path = require('node:path')

const root = path.join(__dirname, '..')

/** Files, and how many cases one run tries. */
const TARGETS = [
  // Which limit applies, against the handler that Express runs.
  { file: '__test__/body/limit-routes.test.js', rounds: 60 },
  { file: '__test__/core/describe-random.test.js', rounds: 50_000 },
  { file: '__test__/soak/soak-har.test.js', rounds: 5000 }
]

function main() {
  const minutes = Number(process.argv[2] ?? 10)
  if (!(minutes > 0 && minutes <= 24 * 60))
    throw new Error(`MINUTES is a number up to ${24 * 60}, not ${process.argv[2]}`)
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
        `${stdout}${stderr}\nRepeat it: PLIMSOLL_SEED=${seed} PLIMSOLL_ROUNDS=${rounds} node --test ${file}`
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
