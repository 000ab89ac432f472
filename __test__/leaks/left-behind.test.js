'use strict'

// What is left behind is a leak if it grows with requests: the rule itself, without a server.

const assert = require('node:assert/strict')
const test = require('node:test')
const plimsoll = require('../..')
const { Tallies } = require('../../lib/leaks/growth-tally.js')

const ENOUGH = 60
let requests = 0
const tallies = new Tallies('left', ENOUGH, () => ({ severity: 'info', what: 'things', advice: 'none' }), {
  requestsOf: () => requests
})

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

/** The messages about one tally. */
function heard(t, name) {
  const messages = []
  const listener = message =>
    message.route === name && messages.push(message.withdrawnAt === null ? 'found' : 'withdrawn')
  plimsoll.on('finding', listener)
  t.after(() => plimsoll.off('finding', listener))
  return messages
}

function grow(own, number) {
  for (let i = 0; i < number; i++) {
    requests += 1
    own.more()
  }
}

test('a finding is withdrawn when what it counted is gone, and found again beyond the former maximum', t => {
  const { own, found } = tally('gone')
  const messages = heard(t, 'gone')
  grow(own, 100)
  own.less(69)
  assert.deepEqual(messages, ['found'])
  own.less(2)
  assert.deepEqual(messages, ['found', 'withdrawn'])
  assert.equal(found().severity, 'info')
  assert.equal(found().advice, 'no longer growing: things. 29 now, 100 at most')
  own.less(29)
  grow(own, 100)
  assert.deepEqual(messages, ['found', 'withdrawn'])
  grow(own, 20)
  assert.deepEqual(messages, ['found', 'withdrawn', 'found'])
  assert.equal(found().withdrawnAt, null)
})

test('a finding is withdrawn when what it counted has stopped growing', t => {
  const { own, found } = tally('stopped')
  const messages = heard(t, 'stopped')
  grow(own, 100)
  requests += 999
  own.check()
  assert.deepEqual(messages, ['found'])
  requests += 1
  own.check()
  assert.deepEqual(messages, ['found', 'withdrawn'])
  assert.equal(found().advice, 'no longer growing: things. there were no more than 100 in the last 1000 requests')
  own.check()
  assert.equal(messages.length, 2)

  // A slow one: each takes a hundred requests, so a thousand without one say little.
  const slow = tally('slow')
  const slowly = heard(t, 'slow')
  for (let i = 0; i < ENOUGH; i++) {
    requests += 100
    slow.own.more()
  }
  requests += 2900
  slow.own.check()
  assert.deepEqual(slowly, ['found'])
  requests += 200
  slow.own.check()
  assert.deepEqual(slowly, ['found', 'withdrawn'])
})

test('places are bounded, and those of which nothing is left make room', () => {
  const many = new Tallies('many', ENOUGH, () => ({ severity: 'info', what: 'things', advice: 'none' }), {
    requestsOf: () => requests
  })
  const all = Array.from({ length: 1024 }, (_, at) => many.of(`route ${at}`, null))
  for (const each of all) each.more()
  assert.equal(many.of('one more', null), null)
  assert.equal(many.of('route 5', null), all[5])
  all[5].less()
  assert.notEqual(many.of('one more', null), null)
})
