'use strict'

// What is left behind is a leak if it grows with requests: the rule itself, without a server.

const assert = require('node:assert/strict')
const test = require('node:test')
const plimsoll = require('../..')
const { Tallies } = require('../../lib/leaks/growth-tally.js')

const ENOUGH = 60
let requests = 0
const tallies = new Tallies(
  'left',
  ENOUGH,
  () => ({ severity: 'info', advice: 'none' }),
  () => requests
)

/** A tally with a name of its own, and its findings. */
function tally(name) {
  requests = 0
  const own = tallies.of(name, null)
  const found = () => plimsoll.stats().findings.find(({ kind, route }) => kind === 'left' && route === name)
  return { own, found }
}

for (const every of [1, 7, 100]) {
  test(`one that is left behind every ${every} requests is found at the sixtieth, and counted on`, () => {
    const { own, found } = tally(`every ${every}`)
    for (let i = 1; i < ENOUGH; i++) {
      requests += every
      own.more()
    }
    assert.equal(found(), undefined)
    requests += every
    own.more()
    const { count, perThousand } = found()
    assert.equal(count, ENOUGH)
    assert.ok(Math.abs(perThousand - 1000 / every) < 1e-3, `${perThousand}`)
    for (let i = 0; i < 1000; i++) {
      requests += every
      own.more()
    }
    assert.ok(found().count > 900 && found().count <= 1060, `${found().count}`)
  })
}

test('what a few requests leave behind at once, what fills up, and what comes and goes is not found', () => {
  const burst = tally('burst')
  for (let i = 0; i < 5; i++) {
    requests += 1
    for (let j = 0; j < 200; j++) burst.own.more()
  }
  requests += 100_000
  burst.own.less()
  burst.own.more()
  assert.equal(burst.found(), undefined)

  // Each request comes from one of 80 tenants, and the first request of each leaves something: the expected number of
  // requests for each.
  const tenants = tally('tenants')
  for (let met = 0; met < 80; met++) {
    requests += 80 / (80 - met)
    tenants.own.more()
  }
  assert.equal(tenants.found(), undefined)

  const plateau = tally('plateau')
  for (let i = 0; i < 10_000; i++) {
    requests += 1
    plateau.own.more()
    if (i >= 50) plateau.own.less()
  }
  assert.equal(plateau.found(), undefined)
})

test('places are bounded, and those of which nothing is left make room', () => {
  const many = new Tallies(
    'many',
    ENOUGH,
    () => ({ severity: 'info', advice: 'none' }),
    () => requests
  )
  const all = Array.from({ length: 1024 }, (_, at) => many.of(`route ${at}`, null))
  for (const each of all) each.more()
  assert.equal(many.of('one more', null), null)
  assert.equal(many.of('route 5', null), all[5])
  all[5].less()
  assert.notEqual(many.of('one more', null), null)
})
