'use strict'

// A wrong option throws at the call, and the error names the option, its value and the valid values.

const assert = require('node:assert/strict')
const test = require('node:test')
const plimsoll = require('../..')
const options = require('../../lib/core/options.js')

const KB = 1024
const MB = 1024 ** 2

const SIZES = [
  [0, 0],
  [1, 1],
  [1024, 1024],
  [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ['0b', 0],
  ['0mb', 0],
  ['512b', 512],
  ['1kb', KB],
  ['1 kb', KB],
  ['007kb', 7 * KB],
  ['100KB', 100 * KB],
  ['1Kb', KB],
  ['10mb', 10 * MB],
  ['10MB', 10 * MB],
  ['1.5mb', 1.5 * MB],
  ['0.5kb', 512],
  ['1.0001kb', KB],
  ['2gb', 2 * KB * MB],
  ['1TB', MB * MB],
  ['512Mi', 512 * MB],
  ['1Gi', KB * MB],
  ['1.5Ki', 1536],
  ['1Ti', MB * MB],
  ['64 mi', 64 * MB]
]

const NO_SIZES = [
  ['10m', "'10m'"],
  ['500M', "'500M'"],
  ['1G', "'1G'"],
  ['512Mib', "'512Mib'"],
  ['10MiB', "'10MiB'"],
  ['10kib', "'10kib'"],
  ['10kbx', "'10kbx'"],
  ['x10kb', "'x10kb'"],
  ['10k', "'10k'"],
  ['10 bytes', "'10 bytes'"],
  ['0', "'0'"],
  ['1024', "'1024'"],
  ['1e3', "'1e3'"],
  ['1e3kb', "'1e3kb'"],
  ['0x10kb', "'0x10kb'"],
  ['-1kb', "'-1kb'"],
  ['+1kb', "'+1kb'"],
  ['1,5mb', "'1,5mb'"],
  ['1_000kb', "'1_000kb'"],
  ['.5mb', "'.5mb'"],
  ['1.mb', "'1.mb'"],
  ['1  kb', "'1  kb'"],
  [' 1kb', "' 1kb'"],
  ['1kb ', "'1kb '"],
  ['1kb\n', "'1kb\\n'"],
  ['1\u00a0kb', "'1\u00a0kb'"],
  ['\u0661kb', "'\u0661kb'"],
  ['kb', "'kb'"],
  ['', "''"],
  ['Infinity', "'Infinity'"],
  ['99999tb', "'99999tb'"],
  [-1, '-1'],
  [1.5, '1.5'],
  [Number.NaN, 'NaN'],
  [Number.POSITIVE_INFINITY, 'Infinity'],
  [Number.MAX_SAFE_INTEGER + 1, '9007199254740992'],
  [10n, '10n'],
  [null, 'null'],
  [undefined, 'undefined'],
  [true, 'true'],
  [false, 'false'],
  [[], '[]'],
  [['1kb'], "[ '1kb' ]"],
  [Symbol('1kb'), 'Symbol(1kb)'],
  [new Date(0), '1970'],
  [new Map(), 'Map'],
  [Promise.resolve('1kb'), 'Promise']
]

/** Checks that `call` throws a TypeError of plimsoll on one line that contains all of these. */
function refuses(call, ...parts) {
  assert.throws(call, error => {
    assert.ok(error instanceof TypeError, `${error}`)
    assert.match(error.message, /^plimsoll: .*$/, 'one line')
    for (const part of parts) assert.ok(error.message.includes(part), `${part} in: ${error.message}`)
    return true
  })
}

test('a size is a whole number of bytes, or a number with b, kb, mb, gb, tb, Ki, Mi, Gi or Ti in any case, 1,024-based', () => {
  for (const [given, bytes] of SIZES) {
    assert.equal(options.size('x', given), bytes, String(given))
    assert.equal(typeof plimsoll.limit(given), 'function')
    assert.equal(typeof plimsoll.limit({ limit: given }), 'function')
  }
})

test('anything else is no size: what Express would take for ten bytes, or for no limit, throws', () => {
  for (const [given, got] of NO_SIZES) {
    refuses(() => plimsoll.limit(given), "limit()'s limit takes", "'100kb'", `got ${got}`)
    refuses(() => plimsoll.limit({ limit: given }), "limit()'s limit takes", "'100kb'", `got ${got}`)
  }
  refuses(() => plimsoll.limit(), 'limit takes', 'got undefined')
  refuses(() => plimsoll.limit({}), 'limit takes', 'got undefined')
})

test('an option that limit() does not know is an error', () => {
  refuses(
    () => plimsoll.limit({ limit: '1kb', inflat: true }),
    "limit() has no option 'inflat' (got true)",
    'it takes limit'
  )
  refuses(() => plimsoll.limit({ max: '1kb' }), "no option 'max' (got '1kb')")
})

test('plimsoll() takes an object with name, log, urls, recorder and stats, and nothing else', () => {
  for (const [given, got] of [
    [null, 'null'],
    ['app', "'app'"],
    [1, '1'],
    [true, 'true'],
    [[], '[]'],
    [() => {}, '[Function'],
    [new Map(), 'Map'],
    [Promise.resolve({}), 'Promise']
  ]) {
    refuses(() => plimsoll(given), 'plimsoll() takes an object', 'name, log, urls, recorder, stats', `got ${got}`)
  }
  refuses(() => plimsoll({ nmae: 'x' }), "plimsoll() has no option 'nmae' (got 'x')", 'it takes name, log')
  refuses(() => plimsoll({ limit: undefined }), "no option 'limit' (got undefined)")
})

test('plimsoll() says what is wrong with each option', () => {
  const stats = { file: '/nowhere/stats.ndjson' }
  const wrong = [
    ["'s name", [1, '', 'x'.repeat(65), 'é'.repeat(33), 'a\nb', 'a\0', null, {}], name => ({ name }), '1 to 64 bytes'],
    [
      "'s log",
      [null, 1, 'console', {}, console.log, { info() {}, warn() {} }],
      log => ({ log }),
      'info, warn and error'
    ],
    ["'s urls", [null, true, 'FULL', '', ['full']], urls => ({ urls }), "'masked' or 'full'"],
    ["'s recorder", [null, '/tmp', true, []], recorder => ({ recorder }), 'an object with dir'],
    ["'s recorder.dir", [null, 1, '', 'x'.repeat(4097), 'a\0b'], dir => ({ recorder: { dir } }), '1 to 4096 bytes'],
    [
      "'s stats",
      [null, 'stats.ndjson', true, []],
      stats => ({ stats }),
      'an object with file, intervalMs, maxBytes, keep'
    ],
    ["'s stats.file", [undefined, null, 1, '', 'a\0b'], file => ({ stats: { file } }), '1 to 4096 bytes'],
    [
      "'s stats.intervalMs",
      [0, 99, 3_600_001, 1000.5, '1s', '1000', Number.NaN, null, -1],
      intervalMs => ({ stats: { ...stats, intervalMs } }),
      'from 100 to 3600000'
    ],
    ["'s stats.maxBytes", ['10m', -1, 1.5, null, '', true], maxBytes => ({ stats: { ...stats, maxBytes } }), "'100kb'"],
    ["'s stats.maxBytes", [0, 4095, '1kb'], maxBytes => ({ stats: { ...stats, maxBytes } }), 'at least 4kb'],
    ["'s stats.keep", [-1, 1001, 1.5, '5', null], keep => ({ stats: { ...stats, keep } }), 'from 0 to 1000']
  ]
  for (const [where, values, given, takes] of wrong) {
    for (const value of values) {
      refuses(() => plimsoll(given(value)), `plimsoll()${where} takes`, takes, 'got ')
    }
  }
  refuses(() => plimsoll({ recorder: { path: '/tmp' } }), "recorder has no option 'path' (got '/tmp')", 'it takes dir')
  refuses(() => plimsoll({ stats: { ...stats, max: 1 } }), "stats has no option 'max' (got 1)")
})

test('metrics() and metrics.text() say what is wrong with theirs', async () => {
  const only = ['all', true, null, '']
  const scope = ['process ', 'worker', null, true]
  for (const value of only)
    refuses(() => plimsoll.metrics({ only: value }), "metrics()'s only takes 'plimsoll'", 'got ')
  for (const value of scope)
    refuses(() => plimsoll.metrics({ scope: value }), "metrics()'s scope takes 'all' or 'process'")
  for (const value of [null, 'plimsoll', []])
    refuses(() => plimsoll.metrics(value), 'metrics() takes an object with only, scope')
  refuses(() => plimsoll.metrics({ openmetrics: true }), "has no option 'openmetrics' (got true); it takes only, scope")
  for (const value of ['some', true, null, ['latency']])
    refuses(() => plimsoll.metrics({ histograms: value }), "metrics()'s histograms takes 'none' or 'latency' or 'all'")
  for (const value of [[], 0.1, [0.2], [0.1, 0.1], ['0.1'], [Number.NaN], [null], new Set([0.1])])
    refuses(() => plimsoll.metrics({ buckets: value }), "metrics()'s buckets takes an array", '0.001, 0.0025', 'got ')
  refuses(
    () => plimsoll.metrics({ histograms: 'none', buckets: [0.1] }),
    "buckets takes nothing with histograms: 'none'"
  )

  for (const [given, message] of [
    [{ only: 'all' }, /metrics\.text\(\)'s only takes 'plimsoll'; got 'all'/],
    [{ scope: 1 }, /metrics\.text\(\)'s scope takes 'all' or 'process'; got 1/],
    [{ openmetrics: 'yes' }, /metrics\.text\(\)'s openmetrics takes true or false; got 'yes'/],
    [{ buckets: [3] }, /metrics\.text\(\)'s buckets takes an array .*; got \[ 3 \]/],
    [{ format: 'text' }, /metrics\.text\(\) has no option 'format'/],
    [null, /metrics\.text\(\) takes an object/]
  ]) {
    await assert.rejects(plimsoll.metrics.text(given), { name: 'TypeError', message })
  }
})

test('a value that is shown is short, whatever was given', () => {
  const endless = { list: Array(1000).fill({ a: 1 }), text: 'x'.repeat(10_000) }
  for (const call of [
    () => plimsoll.limit('x'.repeat(10_000)),
    () => plimsoll.limit(endless),
    () => plimsoll({ name: endless })
  ]) {
    assert.throws(call, error => error.message.length < 300 && !error.message.includes('\n'))
  }
})

test('options without a prototype, and from another realm, are options', () => {
  const { runInNewContext } = require('node:vm')
  for (const given of [Object.assign(Object.create(null), { limit: '1kb' }), runInNewContext("({ limit: '1kb' })")]) {
    assert.equal(plimsoll.limit(given).name, 'plimsollLimit')
  }
})

test('a wrong option starts nothing', () => {
  assert.throws(() => plimsoll({ name: 1 }))
  assert.equal(require('../../lib/recorder/recorder.js').state.started, null)
})
