'use strict'

// A trend needs major collections, which V8 makes rarely. V8 is asked for some if there are requests, and only then.

const assert = require('node:assert/strict')
const test = require('node:test')
const { setTimeout: pause } = require('node:timers/promises')
const { start } = require('../support/child.js')
const { pipelined, until } = require('../support/http.js')

const TIMES = 2
/** V8 is not asked before these requests. */
const WARM_UP = 2200
/** A light load: V8's own collections, each of which restarts the count, are rarer than the requested ones. */
const BURST = 5
const PAUSE_MS = 100

test('V8 is asked for collections if there are requests, and never if the trend is off', async t => {
  // V8 reports why it begins to mark. It also begins by itself, but not for external memory, of which this app has
  // none.
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
