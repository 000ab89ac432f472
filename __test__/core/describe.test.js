'use strict'

// Any value of the app becomes text of bounded length, and nothing is thrown.

const assert = require('node:assert/strict')
const test = require('node:test')
const describe = require('../../lib/core/describe.js')
const internalErrors = require('../../lib/core/internal-errors.js')
const options = require('../../lib/core/options.js')
const { hostile } = require('../support/hostile.js')

for (const [what, make] of hostile) {
  test(`${what} is described`, () => {
    const value = make()
    assert.ok(describe.kind(value).length <= 129)
    assert.ok(describe.frame(value).length <= 200)
    assert.ok(describe.message(value).length <= 8192)
    assert.ok(describe.stack(value).length <= 8192)
    const shown = describe.shown(value)
    assert.ok(shown.length > 0 && shown.length <= 201 && !shown.includes('\n'), shown)
  })

  test(`${what} as an option is a TypeError that names the option`, () => {
    if (what === 'undefined') return
    const refused = { name: 'TypeError', message: /^plimsoll: it takes / }
    assert.throws(() => options.size('it', make()), refused)
    assert.throws(() => options.oneOf('it', make(), [true, false]), refused)
    // These are options with unknown names, or with none.
    const isOne = /^an object (without|of many|that|whose prototypes)|^a Proxy whose/.test(what)
    if (!isOne) assert.throws(() => options.object('it', make(), ['known']), { name: 'TypeError' })
  })

  test(`${what} as an internal error is counted`, () => {
    const before = internalErrors.seen.count
    internalErrors.report(`with ${what}`, make())
    assert.equal(internalErrors.seen.count, before + 1)
  })
}

test('an error is described by its name, code and first frame, not by its message', () => {
  const error = Object.assign(new TypeError('secret'), { code: 'ERR_IT' })
  assert.equal(describe.kind(error), 'TypeError ERR_IT')
  assert.match(describe.frame(error), /describe\.test\.js:\d+:\d+/)
  assert.equal(describe.message(error), 'secret')
  assert.match(describe.stack(error), /^TypeError: secret\n/)
})

test('text of any length is described in one pass', () => {
  // A search for a frame after each line break would take hours.
  for (const filler of ['\n', ' ', '\n ', '\n    at', '(', '    at '])
    assert.equal(describe.frame({ stack: filler.repeat(2 ** 22) }).length <= 200, true)
})
