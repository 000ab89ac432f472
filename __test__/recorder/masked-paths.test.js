'use strict'

// The parts of a client's URL that may reach the record, the routes' labels and the metrics: words of routes only.

const assert = require('node:assert/strict')
const { readdirSync, readFileSync } = require('node:fs')
const http = require('node:http')
const { join } = require('node:path')
const test = require('node:test')
const isRouteWord = require('../../lib/express/route-word.js')
const { start } = require('../support/child.js')
const { folder, show } = require('../support/cli.js')
const { request, until } = require('../support/http.js')

const WORDS =
  'users api v2 v1.12 oauth2 well-known .well-known health-check index.html favicon.ico webhooks_stripe _next wp-login.php 2fa s3 42 me'.split(
    ' '
  )
const SECRETS = [
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U',
  '123e4567-e89b-12d3-a456-426614174000',
  '9f86d081884c7d65',
  'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
  '01arz3ndektsv4rrffq69g5fav',
  '01ARZ3NDEKTSV4RRFFQ69G5FAV',
  'abcdefghijklmnopqrstuvwxyz',
  'qWeRtY',
  'tOk12345',
  '4111111111111111',
  '4111-1111-1111-1111',
  '030-123-4567',
  '004930123456',
  '+4930123456',
  'ann@example.com',
  'ann%40example.com',
  'bob:hunter2',
  'bob%3Ahunter2',
  'key=value',
  'page;sid=a1b2',
  'caf%C3%A9',
  'x7k9'
]

test('a segment stays only if it looks like a word of a route', () => {
  for (const word of WORDS) assert.ok(isRouteWord(word), word)
  for (const secret of SECRETS) assert.ok(!isRouteWord(secret), secret)
  assert.ok(isRouteWord(''))
  assert.ok(!isRouteWord('é') && !isRouteWord('१२३'))
})

test('a segment of any length is judged in one pass', () => {
  assert.ok(!isRouteWord('-'.repeat(1e6)))
  assert.ok(!isRouteWord('1'.repeat(1e6)))
})

test('the record masks what is no word of a route, by the rule of the labels', async t => {
  const dir = folder(t)
  const server = await start('flight', { env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  const segments = [...WORDS, ...SECRETS]
  for (const segment of segments) {
    const req = http.get({
      host: '127.0.0.1',
      port: server.port,
      path: `/sleep/${segment}?token=qWeRtYqWeRtY`,
      agent: false
    })
    req.on('error', () => {})
    t.after(() => req.destroy())
  }
  await until(async () => (await server.ask('stats')).requests.inFlight === segments.length, 'all are in flight')
  const record = await until(async () => {
    const [record] = await show(dir)
    return record.inFlight.length === segments.length && record
  }, 'the record has them')
  assert.deepEqual(
    record.inFlight.map(({ path }) => path).sort(),
    segments.map(segment => `/sleep/${isRouteWord(segment) ? segment : '*'}`).sort()
  )
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  assert.notEqual(files.length, 0)
  for (const { parentPath, path, name } of files) {
    const content = readFileSync(join(parentPath ?? path, name), 'latin1')
    assert.ok(content.includes('/sleep/users'), 'this is the record')
    for (const secret of [...SECRETS, 'qWeRtYqWeRtY']) assert.ok(!content.includes(secret), secret)
  }
})

for (const express of ['express', 'express4']) {
  test(`labels of routers that are made for a request mask it too (${express})`, async t => {
    const server = await start('stray', { env: { EXPRESS: express } })
    t.after(() => server.stop())
    for (const segment of SECRETS) await request(server.port, `/made/${segment}/x`)
    const { routes } = await until(async () => {
      const stats = await server.ask('stats')
      return stats.requests.inFlight === 0 && stats.routes.length > 0 && stats
    }, 'all have ended')
    const told = JSON.stringify(routes) + (await server.ask('metrics'))
    assert.match(told, /\/made\/\*\/x/)
    for (const secret of SECRETS) assert.ok(!told.includes(secret), `${secret} in ${told.slice(0, 2000)}`)
  })
}
