'use strict'

/*
 * Which tests differ: they pass bare and behind the wrapper that does nothing, and do not pass behind Plimsoll. A suite in which some do
 * is run again, since tests of networks fail now and then by themselves: what passes behind Plimsoll in a later round, or fails without it,
 * is unsteady, and is named apart.
 */

const MODES = ['bare', 'wrapper', 'plimsoll']
const ROUNDS = 3

/** `runOnce(mode, only)` gives the results of one run; `only` names the tests that are asked for. `{ counts, differing, unsteady }`. */
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
    const behind = await runOnce('plimsoll', only)
    for (const suspect of suspects.values()) {
      if (without.get(suspect.title)?.passed !== true) suspect.steady = false
      if (behind.get(suspect.title)?.passed === true) suspect.steady = false
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
