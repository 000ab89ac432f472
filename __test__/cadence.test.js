'use strict'

// A trend needs major collections, and V8 makes them rarely: V8 is asked for some, where there are requests, and only then.

const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const { start } = require('./support/child.js')
const { request, until } = require('./support/http.js')

const TIMES = 2

test('V8 is asked what lives where there are requests, and nobody is where the trend is off', async t => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  t.after(() => agent.destroy())
  // V8 says why it begins to mark: by itself it does so as well, but not for external memory, of which this app has none.
  const execArgv = ['--trace-incremental-marking']
  const [asked, left] = await Promise.all(
    [true, false].map(leaks => start('trend', { args: ['nothing', JSON.stringify(leaks)], execArgv }))
  )
  t.after(() => Promise.all([asked.stop(), left.stop()]))
  const questions = server => server.output().split('Start (external memory pressure)').length - 1
  const majors = async server => (await server.ask('stats')).gc['mark-sweep-compact']?.count ?? 0
  // On and on: a collection of V8's own begins the count anew.
  let id = 0
  const serve = () => Promise.all([asked, left].map(server => request(server.port, `/users/${id++}`, { agent })))
  await until(async () => (await serve()) && questions(asked) >= TIMES, 'questions', 120_000)
  await until(async () => (await majors(asked)) >= TIMES, 'each is answered with a collection')
  assert.equal(questions(left), 0)
  for (const server of [asked, left]) assert.doesNotMatch(server.output(), /Start \(memory pressure\)/)
})
