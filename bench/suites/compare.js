'use strict'

/*
 * Finds the tests that differ: they pass bare and with the wrapper that does nothing, and fail with Plimsoll. Tests of
 * networks sometimes fail by themselves, so such tests run again. A test is unsteady if it passes with Plimsoll in a
 * later round, or fails without it.
 */

const MODES = ['bare', 'wrapper', 'plimsoll']
const ROUNDS = 3

/**
 * Returns `{ counts, tests, differing, unsteady }`. `runOnce(mode, only)` resolves to the results of a run. `only` lists
 * the tests that matter, or is `null`.
 */
async function compare(runOnce) {
  const first = {}
  for (const mode of MODES) first[mode] = await runOnce(mode, null)
  const counts = Object.fromEntries(MODES.map(mode => [mode, passedOf(first[mode])]))
  const suspects = new Map()
  for (const [title, { passed }] of first.bare) {
    if (!passed || first.wrapper.get(title)?.passed !== true || first.plimsoll.get(title)?.passed === true) continue
    suspects.set(title, {
      title,
      message: first.plimsoll.get(title)?.message ?? 'did not run',
      failed: 1,
      steady: true
    })
  }
  for (let round = 2; round <= ROUNDS && suspects.size > 0; round++) {
    const only = [...suspects.keys()]
    const without = await runOnce('wrapper', only)
    const withPlimsoll = await runOnce('plimsoll', only)
    for (const suspect of suspects.values()) {
      if (without.get(suspect.title)?.passed !== true) suspect.steady = false
      if (withPlimsoll.get(suspect.title)?.passed === true) suspect.steady = false
      else suspect.failed += 1
    }
  }
  const all = [...suspects.values()]
  return {
    counts,
    tests: first.bare.size,
    differing: all.filter(({ steady }) => steady),
    unsteady: all.filter(({ steady }) => !steady)
  }
}

function passedOf(results) {
  let passed = 0
  for (const result of results.values()) if (result.passed) passed += 1
  return passed
}

module.exports = { compare, ROUNDS }
