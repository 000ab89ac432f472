'use strict'

// Any HAR file gives routes that can be requested, or an error that names the file and the place in it.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const { join } = require('node:path')
const test = require('node:test')
const plimsoll = require('../..')
const { routesOfHar } = require('../../lib/soak/har-routes.js')
const { routesOf } = require('../../lib/soak/options.js')
const cli = require('../support/cli.js')
const { choices, rounds, seed } = require('../support/rounds.js')

const APP = join(__dirname, '..', 'apps', 'soak', 'shop.js')

const url = path => `http://shop.example${path}`
const VALID = {
  log: {
    version: '1.2',
    entries: [
      {
        request: { method: 'GET', url: url('/articles/1?a=b'), headers: [{ name: 'Accept', value: '*/*' }] },
        response: { status: 200 }
      },
      { request: { method: 'GET', url: 'data:text/plain,a', headers: [] } },
      {
        request: {
          method: 'POST',
          url: url('/articles'),
          headers: [{ name: 'Content-Type', value: 'application/json' }],
          postData: { mimeType: 'application/json', text: '{"title":"new"}' }
        }
      },
      { request: { method: 'PUT', url: url('/image'), headers: [], postData: { text: 'AAEC', encoding: 'base64' } } }
    ]
  }
}

/** A file in a folder with this text. */
function file(t, text) {
  const path = join(cli.folder(t), 'session.har')
  fs.writeFileSync(path, text)
  return path
}

function refused(path, pattern) {
  return assert.rejects(
    async () => routesOf(await routesOfHar(path), path),
    error => {
      assert.equal(error.code, 'ERR_PLIMSOLL_SOAK', error.stack)
      assert.ok(error.message.startsWith(`plimsoll: soak: ${path}`), error.message)
      assert.match(error.message, pattern)
      return true
    }
  )
}

const MALFORMED = [
  ['null', /is not a HAR file: it must have .*entries.*; got null/],
  ['[]', /is not a HAR file/],
  ['{"log":null}', /is not a HAR file/],
  ['{"log":{"entries":{}}}', /is not a HAR file/],
  ['{"log":{"entries":[]}}', /has no request over HTTP/],
  ['{', /is not a HAR file: .*JSON/],
  ['', /is not a HAR file: .*JSON/]
]
const ENTRIES = [
  [null, /: log\.entries\[0\] takes an object with a request; got null/],
  [{}, /: log\.entries\[0\]\.request takes an object .*; got undefined/],
  [{ request: { method: 'GET', url: 7 } }, /request\.url takes a URL.*; got 7/],
  [{ request: { method: 'GET', url: '/a' } }, /request\.url takes a URL.*; got '\/a'/],
  [{ request: { method: null, url: url('/') } }, /request\.method takes a method.*; got null/],
  [{ request: { method: 'get', url: url('/') } }, /request\.method takes a method.*; got 'get'/],
  [{ request: { method: 'GET', url: url('/'), headers: {} } }, /request\.headers takes an array/],
  [{ request: { method: 'GET', url: url('/'), headers: [null] } }, /request\.headers\[0\] takes an object.*; got null/],
  [{ request: { method: 'GET', url: url('/'), headers: [{ name: 'a b', value: '' }] } }, /headers\[0\]\.name takes/],
  [{ request: { method: 'GET', url: url('/'), headers: [{ name: 'a', value: 'b\nc' }] } }, /headers\[0\]\.value takes/],
  [{ request: { method: 'POST', url: url('/'), postData: [] } }, /request\.postData takes an object/],
  [{ request: { method: 'POST', url: url('/'), postData: { text: 5 } } }, /postData\.text takes a string; got 5/]
]

test('a malformed file is an error that names the file, the entry and what is expected', async t => {
  for (const [text, pattern] of MALFORMED) await refused(file(t, text), pattern)
  for (const [entry, pattern] of ENTRIES) await refused(file(t, JSON.stringify({ log: { entries: [entry] } })), pattern)
  await refused(cli.folder(t), /is not a HAR file: EISDIR/)
})

test('soak() and its command report it without a stack', async t => {
  const har = file(t, '{"log":{"entries":[null]}}')
  const message = /session\.har: log\.entries\[0\] takes an object with a request; got null/
  await assert.rejects(plimsoll.soak(APP, { har }), { code: 'ERR_PLIMSOLL_SOAK', message })
  const routes = join(cli.folder(t), 'routes.js')
  for (const [content, expected] of [
    ['exports.other = 1', /exports no routes\. It must export an array.*; got { other: 1 }/],
    ['throw null', /cannot be loaded: null/],
    ['module.exports = [null]', /routes\[0\] takes an object/]
  ]) {
    fs.writeFileSync(routes, content)
    fs.renameSync(routes, `${routes}.${content.length}.js`)
    const { code, stderr } = await cli.plimsoll(['soak', APP, '--routes', `${routes}.${content.length}.js`])
    assert.equal(code, 2)
    assert.doesNotMatch(stderr, /\n\s+at /)
    // The command breaks its lines between words, so a file's name may be broken in an error.
    assert.match(stderr.replace(/\s+/g, ' '), expected)
  }
})

test('a byte order mark in front is no error', async t => {
  const routes = await routesOfHar(file(t, `\ufeff${JSON.stringify(VALID)}`))
  assert.deepEqual(
    routes.map(({ route }) => route),
    ['GET /articles/1', 'POST /articles', 'PUT /image']
  )
  assert.deepEqual(routes[2].body(0), Buffer.from([0, 1, 2]))
})

const VALUES = [
  null,
  undefined,
  0,
  -1,
  true,
  '',
  'a',
  '\n',
  '__proto__',
  [],
  [null],
  {},
  { length: 1 },
  'http://a/\u0000 b'
]

/** Replaces, removes, duplicates or moves a random part. */
function mutate({ below, chance, pick }, content) {
  const places = []
  const visit = (parent, key) => {
    places.push([parent, key])
    const value = parent[key]
    if (typeof value === 'object' && value !== null) for (const each of Object.keys(value)) visit(value, each)
  }
  const root = { content }
  visit(root, 'content')
  const [parent, key] = pick(places)
  const [from, at] = pick(places)
  const moved = from[at]
  const contained = JSON.stringify(moved) ?? ''
  if (chance(0.15)) delete parent[key]
  else if (chance(0.2) && contained.length < 300) parent[key] = structuredClone(moved)
  else if (typeof parent[key] === 'string' && chance(0.4)) {
    const cut = below(parent[key].length + 1)
    parent[key] =
      parent[key].slice(0, cut) +
      pick(['', ' ', '\n', '\u0000', '%', '\\', '{1..9}', ':', 'é']) +
      parent[key].slice(cut)
  } else parent[key] = structuredClone(pick(VALUES))
  return root.content
}

/** One byte more, less or different. */
function damage({ below, pick }, text) {
  const at = below(text.length + 1)
  return text.slice(0, at) + pick(['', '"', '{', ']', ',', '\\', '\u0000', '0']) + text.slice(at + below(2))
}

test('a random change of a valid file gives routes that can be driven, or such an error', async t => {
  const random = choices()
  const path = file(t, '')
  const outcomes = { routes: 0, errors: 0 }
  const number = rounds(1500)
  for (let round = 0; round < number; round++) {
    let content = structuredClone(VALID)
    for (let i = 1 + random.below(3); i > 0; i--) content = mutate(random, content)
    const text = JSON.stringify(content) ?? ''
    fs.writeFileSync(path, random.chance(0.1) ? damage(random, text) : text)
    try {
      for (const route of routesOf(await routesOfHar(path), path)) drivable(route)
      outcomes.routes += 1
    } catch (error) {
      const where = `seed ${seed}, round ${round}: ${error.stack}\n${fs.readFileSync(path)}`
      assert.equal(error.code, 'ERR_PLIMSOLL_SOAK', where)
      assert.ok(error.message.startsWith(`plimsoll: soak: ${path}`), where)
      outcomes.errors += 1
    }
  }
  assert.ok(Math.min(outcomes.routes, outcomes.errors) > number / 10, JSON.stringify(outcomes))
})

/** Node accepts everything that would be sent. */
function drivable({ method, path, headers, body }) {
  const req = http.request({ method, path: path(1), headers: headers(1), createConnection: () => null, agent: false })
  req.on('error', () => {})
  req.destroy()
  const sent = body(1)
  assert.ok(sent === undefined || typeof sent === 'string' || Buffer.isBuffer(sent))
}
