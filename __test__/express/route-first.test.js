'use strict'

// The first request of a process while watchers are on, and what findings name without a frame of the app.

const assert = require('node:assert/strict')
const test = require('node:test')
const { start } = require('../support/child.js')
const { request, until } = require('../support/http.js')

for (const express of ['express', 'express4']) {
  test(`the first request is labelled like the others while everything is watched (${express})`, async t => {
    const server = await start('first', { env: { EXPRESS: express } })
    t.after(() => server.stop())
    for (let id = 0; id < 3; id++) await request(server.port, `/mounted/x/${id}`)
    const { routes, faults: internalErrors } = await until(async () => {
      const stats = await server.ask('stats')
      return stats.requests.inFlight === 0 && stats.requests.total === 3 && stats
    }, 'three requests')
    assert.deepEqual(
      routes.map(({ route, count }) => [route, count]),
      [['/mounted/x/:id', 3]]
    )
    assert.equal(internalErrors, 0)
  })

  test(`an interval that no frame of the app has made is found at the handler of its request (${express})`, async t => {
    const server = await start('first', { env: { EXPRESS: express } })
    t.after(() => server.stop())
    for (let turn = 0; turn < 200; turn++) await request(server.port, '/mounted/interval')
    const finding = await until(async () => {
      const { findings } = await server.ask('stats')
      return findings.find(({ kind }) => kind === 'timer')
    }, 'the finding')
    assert.equal(finding.route, 'GET /mounted/interval')
    assert.match(finding.origin, /^__test__[/\\]apps[/\\]first\.js:\d+ \(function leavesInterval\)$/)
  })
}
