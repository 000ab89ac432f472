'use strict'

// A trend needs major collections, and a large heap has them rarely: V8 is asked for some, where there are requests, and only then.

const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const { start } = require('./support/child.js')
const { request, until } = require('./support/http.js')

/** Between two questions there are so many requests at least (REQUESTS in src/trend/cadence.rs). */
const REQUESTS = 250
const TIMES = 3

test('V8 is asked what lives after some hundred requests, and nobody is where the trend is off', async t => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  t.after(() => agent.destroy())
  const [asked, left] = await Promise.all(
    [true, false].map(leaks => start('trend', { args: ['nothing', JSON.stringify(leaks)] }))
  )
  t.after(() => Promise.all([asked.stop(), left.stop()]))
  const majors = async server => (await server.ask('stats')).gc['mark-sweep-compact']?.count ?? 0
  const serve = server =>
    Promise.all(Array.from({ length: REQUESTS }, (_, id) => request(server.port, `/users/${id}`, { agent })))

  const before = { asked: await majors(asked), left: await majors(left) }
  for (let time = 0; time < TIMES; time++) {
    const known = await majors(asked)
    await Promise.all([serve(asked), serve(left)])
    await until(async () => (await majors(asked)) > known, 'a collection that nobody forced', 60_000)
  }
  const more = (await majors(asked)) - before.asked - ((await majors(left)) - before.left)
  assert.ok(more >= TIMES - 1, `${more} more than where the trend is off`)
})
