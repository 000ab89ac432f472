'use strict'

// Times the rows of ../calls.js in batches. The rows run in turn, so that other work affects all of them equally.
// Argument: the number of batches. Output: a JSON line with the median nanoseconds per call of each row.

const v8 = require('node:v8')
const plimsoll = require('../..')
const { CALLS } = require('../calls')
const { median } = require('../harness/stats')

const batches = Number(process.argv[2])
const BATCH = 64
const WARMUP = 300

function empty() {}

// One loop for all rows would be megamorphic. The number in the source gives each row its own compiled code.
function timerOf(row, index) {
  const { before, run, after } = row
  return new Function(
    'before',
    'run',
    'after',
    'clock',
    `// ${index}
    return function batch () {
      if (before) for (let at = 0; at < ${BATCH}; at++) before(at)
      const start = clock()
      for (let at = 0; at < ${BATCH}; at++) run(at)
      const end = clock()
      if (after) for (let at = 0; at < ${BATCH}; at++) after(at)
      return Number(end - start) / ${BATCH}
    }`
  )(before, run, after, process.hrtime.bigint)
}

// Starts the recorder, without which the calls return at once.
plimsoll()
const native = require('../../binding.js')
if (plimsoll.stats().heap.exact !== true) {
  process.stderr.write(`the exact probe is off: ${plimsoll.stats().heap.reason}\n`)
  process.exit(1)
}

const timers = CALLS.map(({ make }, index) => {
  const held = new Array(BATCH).fill(0)
  const label = native.label('/users/:id')
  return timerOf(make({ native, v8, empty, held, label, last: BATCH - 1, url: '/users/4711' }), index)
})

for (let batch = 0; batch < WARMUP; batch++) for (const timer of timers) timer()
const nanos = timers.map(() => [])
for (let batch = 0; batch < batches; batch++) for (const [row, timer] of timers.entries()) nanos[row].push(timer())

const { inFlight, untracked } = plimsoll.stats().requests
if (inFlight || untracked) {
  process.stderr.write(`${inFlight} slots were not freed, and ${untracked} requests got none\n`)
  process.exit(1)
}
process.stdout.write(`${JSON.stringify({ nanos: nanos.map(median) })}\n`)
process.exit(0)
