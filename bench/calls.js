'use strict'

const path = require('node:path')

// The calls that are timed. To add one, add a row. `call` is its name in the table. `make` gets what programs/calls.js
// provides: the addon as `native`, an empty function, v8 and others. It returns functions that are called with the index
// in a batch of 64. Only `run` is timed. `before` prepares the calls, and `after` releases what they have created.
const CALLS = [
  { call: 'an empty JavaScript function', make: ({ empty }) => ({ run: () => empty() }) },
  { call: '`v8.getHeapStatistics()`', make: ({ v8 }) => ({ run: () => v8.getHeapStatistics() }) },
  { call: '`process.memoryUsage()`', make: () => ({ run: () => process.memoryUsage() }) },
  { call: '`allocated()`: the heap counter', make: ({ native }) => ({ run: () => native.allocated() }) },
  {
    call: '`enter(method, url)`',
    make: ({ native, url, held }) => ({
      run: at => {
        held[at] = native.enter(GET, url)
      },
      after: at => {
        native.settle(held[at])
        native.end(held[at], 0, 200, false, 0)
      }
    })
  },
  {
    call: '`route(slot, label)`',
    make: ({ native, url, held, label }) => ({
      before: at => {
        held[at] = native.enter(GET, url)
      },
      run: at => native.route(held[at], label),
      after: at => {
        native.settle(held[at])
        native.end(held[at], label, 200, false, 0)
      }
    })
  },
  {
    call: '`settle(slot)`',
    // Spans are a stack: the last one entered must be settled first.
    make: ({ native, url, held, last }) => ({
      before: at => {
        held[last - at] = native.enter(GET, url)
      },
      run: at => native.settle(held[at]),
      after: at => native.end(held[at], 0, 200, false, 0)
    })
  },
  {
    call: '`end(slot, …)`',
    make: ({ native, url, held, label }) => ({
      before: at => {
        held[at] = native.enter(GET, url)
        native.settle(held[at])
      },
      run: at => native.end(held[at], label, 200, false, 215)
    })
  },
  {
    call: 'a GET: `enter`, `route`, `settle`, `end`',
    make: ({ native, url, label }) => ({
      run: () => {
        const slot = native.enter(GET, url)
        native.route(slot, label)
        native.settle(slot)
        native.end(slot, label, 200, false, 215)
      }
    })
  },
  {
    call: '`tapCount(tap, slot, bytes)`: a chunk of a body',
    make: ({ native, url, held }) => {
      const tap = native.tapOpen(Number.POSITIVE_INFINITY)
      return {
        before: at => {
          held[at] = native.enter(GET, url)
          native.settle(held[at])
        },
        run: at => native.tapCount(tap, held[at], 65536),
        after: at => native.end(held[at], 0, 200, false, 0)
      }
    }
  },
  {
    call: 'a tap: `tapOpen`, `tapAttach`, `tapLower`, `tapClose`',
    make: ({ native }) => ({
      run: () => {
        const tap = native.tapOpen(Number.POSITIVE_INFINITY)
        native.tapAttach(tap, 0)
        native.tapLower(tap, 10485760)
        native.tapClose(tap)
      }
    })
  },
  { call: '`tick(lag, utilisation)`: four times a second', make: ({ native }) => ({ run: () => native.tick(0, 0.5) }) }
]

// The index that plimsoll() gives GET among http.METHODS.
const GET = require('node:http').METHODS.indexOf('GET')

async function run(config) {
  const Child = require('./harness/child')
  const { summary } = require('./harness/stats')
  const { fixed } = require('./harness/table')
  const rounds = []
  for (let round = 0; round < config.callRounds; round++) {
    const child = new Child(config.node, [path.join(__dirname, 'programs', 'calls.js'), String(config.batches)], {
      env: config.env
    })
    try {
      const { nanos } = await child.next(300, 'the calls')
      rounds.push(nanos)
      config.progress(`calls ${round + 1}/${config.callRounds}: ${nanos.map(value => fixed(value, 0)).join(', ')} ns`)
    } finally {
      await child.end()
    }
  }
  const rows = CALLS.map(({ call }, index) => ({ call, nanos: summary(rounds.map(nanos => nanos[index])) }))
  return { batches: config.batches, rows, rounds }
}

function render({ batches, rows, rounds }) {
  const { counted, spread, table } = require('./harness/table')
  return [
    '### The calls alone',
    '',
    table(
      ['call', 'nanoseconds'],
      rows.map(row => [row.call, spread(row.nanos, row.nanos.median < 100 ? 1 : 0)])
    ),
    '',
    `Medians of ${counted(rounds.length, 'process', 'processes')} (lowest to highest), each the median of ${batches} batches of 64 calls, from JavaScript and back. ` +
      'The cost of the loop, which is in the first row, is not subtracted.'
  ].join('\n')
}

module.exports = { name: 'calls', about: 'the calls of the addon alone, in nanoseconds', CALLS, run, render }
