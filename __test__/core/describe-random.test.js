'use strict'

// The property of describe.test.js for random values. `npm run fuzz:js` runs it for minutes.

const assert = require('node:assert/strict')
const test = require('node:test')
const describe = require('../../lib/core/describe.js')
const internalErrors = require('../../lib/core/internal-errors.js')
const options = require('../../lib/core/options.js')
const { hostileValue } = require('../support/hostile-random.js')
const { choices, rounds, seed } = require('../support/rounds.js')

/** The most characters of each text. */
const BOUNDS = { kind: 129, frame: 200, message: 8192, stack: 8192, shown: 201 }

test('any random value is described in bounded text, and nothing is thrown', () => {
  const random = choices()
  const before = internalErrors.seen.count
  const number = rounds(5000)
  for (let round = 0; round < number; round++) {
    const value = hostileValue(random)
    const where = `seed ${seed}, round ${round}`
    for (const [name, most] of Object.entries(BOUNDS)) {
      const text = described(() => describe[name](value), `${name}, ${where}`)
      assert.equal(typeof text, 'string', `${name}, ${where}`)
      assert.ok(text.length <= most, `${name}, ${where}: ${text.length} characters`)
    }
    assert.ok(!describe.shown(value).includes('\n'), where)
    described(() => internalErrors.report('at random', value), `internalErrors, ${where}`)
    refused(() => options.size('it', value), value, where)
    refused(() => options.oneOf('it', value, [options]), value, where)
  }
  assert.equal(internalErrors.seen.count, before + number)
})

function described(describe, where) {
  try {
    return describe()
  } catch {
    // The thrown value may be as hostile as the value.
    assert.fail(`${where}: threw`)
  }
}

/** An option of any value is accepted, or causes a TypeError of Plimsoll. */
function refused(check, value, where) {
  let thrown = null
  try {
    if (check() === value) return
  } catch (error) {
    thrown = error
  }
  if (typeof value === 'string' && thrown === null) return
  assert.ok(thrown instanceof TypeError && thrown.message.startsWith('plimsoll: it takes '), where)
  assert.ok(thrown.message.length < 1000, where)
}
