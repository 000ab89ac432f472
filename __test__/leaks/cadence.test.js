'use strict'

// A trend needs major collections, and V8 makes them rarely: V8 is asked for some, where there are requests, and only then.

const assert = require('node:assert/strict')
const test = require('node:test')
const { setTimeout: pause } = require('node:timers/promises')
const { start } = require('../support/child.js')
const { pipelined, until } = require('../support/http.js')

const TIMES = 2
/** Before them nobody is asked. */
const WARM_UP = 2200
/** A load so light that V8's own collections, each of which begins the count anew, are rarer than the questions. */
const BURST = 5
const PAUSE_MS = 100

test('V8 is asked what lives where there are requests, and nobody is where the trend is off', async t => {
  // V8 says why it begins to mark: by itself it does so as well, but not for external memory, of which this app has none.
  const execArgv = ['--trace-incremental-marking']
  const [asked, left] = await Promise.all(
    [true, false].map(leaks => start('trend', { args: ['nothing', JSON.stringify(leaks)], execArgv }))
  )
  t.after(() => Promise.all([asked.stop(), left.stop()]))
  const questions = server => server.output().split('Start (external memory pressure)').length - 1
  const majors = async server => (await server.ask('stats')).gc['mark-sweep-compact']?.count ?? 0
  await Promise.all([asked, left].map(server => pipelined(server.port, '/users/1', WARM_UP)))
  const serve = async () => {
    await Promise.all([asked, left].map(server => pipelined(server.port, '/users/1', BURST)))
    await pause(PAUSE_MS)
    return questions(asked) >= TIMES
  }
  await until(serve, 'questions', 400_000)
  await until(async () => (await majors(asked)) >= TIMES, 'each is answered with a collection')
  assert.equal(questions(left), 0)
  for (const server of [asked, left]) assert.doesNotMatch(server.output(), /Start \(memory pressure\)/)
})
