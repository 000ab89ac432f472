'use strict'

// The configuration of `plimsoll/register`: where it is read, what it switches on, and what happens if it is wrong.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const test = require('node:test')
const cli = require('../support/cli.js')
const { install } = require('../support/copies.js')
const { request, serve, until } = require('../support/http.js')
const { REGISTER, launch } = require('../support/registered.js')

const APP = `
  const http = require('node:http')
  http.createServer((req, res) => req.resume().on('end', () => res.end('app')))
    .listen(0, '127.0.0.1', function () { console.log('listening ' + this.address().port) })`

/** Starts an app in a folder with a package.json and these files. */
async function start(t, files, { env = {}, below = '.', register = REGISTER, dir = cli.folder(t) } = {}) {
  const records = path.join(dir, 'records')
  for (const folder of [records, path.join(dir, below)]) fs.mkdirSync(folder, { recursive: true })
  const all = { 'package.json': '{"name":"configured"}', 'app.cjs': APP, ...files }
  for (const [name, text] of Object.entries(all)) fs.writeFileSync(path.join(dir, name), text)
  const started = launch(['--require', register, path.join(dir, 'app.cjs')], {
    cwd: path.join(dir, below),
    env: { PLIMSOLL_DIR: records, ...env }
  })
  t.after(started.stop)
  const [port] = await started.ports()
  return { ...started, port, records, dir }
}

const names = async records => (await cli.show(records)).map(({ name }) => name)

for (const [file, text] of [
  ['plimsoll.config.json', '{"name":"from-config"}'],
  ['plimsoll.config.cjs', "module.exports = { name: 'from-config' }"],
  ['plimsoll.config.js', "module.exports = { name: 'from-config' }"],
  ['plimsoll.config.mjs', "export default { name: 'from-config' }"]
]) {
  test(`${file} beside the nearest package.json of the working directory is read`, async t => {
    // A program below node_modules, as it is installed: Node warns of no `require` of an ES module there.
    const dir = cli.folder(t)
    const register = path.join(install(dir), 'register.js')
    const { records, port, stderr } = await start(t, { [file]: text }, { dir, register, below: 'src/deep' })
    assert.equal((await request(port, '/')).body, 'app')
    assert.deepEqual(await names(records), ['from-config'])
    assert.equal(stderr(), '')
  })
}

test('an option in PLIMSOLL_OPTIONS replaces that of the file, and the others stay', async t => {
  const files = { 'plimsoll.config.json': '{"name":"from-config","limit":"1kb","metrics":"/metrics"}' }
  const env = { PLIMSOLL_OPTIONS: '{"name":"from-env","limit":false}' }
  const { records, port } = await start(t, files, { env })
  assert.equal((await request(port, '/', { method: 'POST', body: 'a'.repeat(2000) })).status, 200)
  assert.deepEqual(await names(records), ['from-env'])
  assert.match((await request(port, '/metrics')).body, /^plimsoll_http_requests_total/m)
})

for (const [what, files, env, message] of [
  [
    'a name that is no option',
    { 'plimsoll.config.json': '{"limits":"1mb"}' },
    {},
    /config\.json: the configuration has no option 'limits' .*it takes name, .*limit, shed, metrics\. The app runs without Plimsoll/
  ],
  [
    'a wrong value of plimsoll()',
    { 'plimsoll.config.json': '{"leaks":7}' },
    {},
    /config\.json: plimsoll\(\)'s leaks takes true, false .*; got 7/
  ],
  [
    'a wrong value of limit()',
    {},
    { PLIMSOLL_OPTIONS: '{"limit":"10m"}' },
    /PLIMSOLL_OPTIONS: limit\(\).* takes .*; got '10m'/
  ],
  [
    'a wrong value of shed()',
    {},
    { PLIMSOLL_OPTIONS: '{"shed":{"heap":[2,1]}}' },
    /PLIMSOLL_OPTIONS: shed\(\)'s heap takes/
  ],
  [
    'a wrong value of metrics',
    {},
    { PLIMSOLL_OPTIONS: '{"metrics":9464}' },
    /PLIMSOLL_OPTIONS: metrics takes false, a path like '\/metrics', or \{ port \}.*; got 9464/
  ],
  ['no JSON in the variable', {}, { PLIMSOLL_OPTIONS: '{name' }, /PLIMSOLL_OPTIONS: not JSON/],
  ['no JSON in the file', { 'plimsoll.config.json': '{' }, {}, /config\.json: not JSON/],
  ['no object', { 'plimsoll.config.json': '[]' }, {}, /config\.json: the configuration takes an object with name, /],
  ['a file that throws', { 'plimsoll.config.js': "throw new Error('of the file')" }, {}, /config\.js: of the file/],
  [
    'a top-level await',
    { 'plimsoll.config.mjs': 'export default await {}' },
    {},
    /config\.mjs: an ES module must load synchronously/
  ]
]) {
  test(`a wrong configuration is one warning, and the app runs without Plimsoll: ${what}`, async t => {
    const { port, records, stderr } = await start(t, files, { env })
    for (let i = 0; i < 2; i++) assert.equal((await request(port, '/')).body, 'app')
    const [, text] = await until(() => /\[PLIMSOLL_CONFIG\] Warning: plimsoll: (.*)/.exec(stderr()), 'the warning')
    assert.match(text, message)
    assert.equal(stderr().match(/PLIMSOLL_/g).length, 1 + (text.match(/PLIMSOLL_/g)?.length ?? 0), stderr())
    assert.deepEqual(fs.readdirSync(records), [])
  })
}

test('limit refuses in front of the app, and the connection of a small body stays open', async t => {
  const env = { PLIMSOLL_OPTIONS: '{"limit":{"limit":"1kb","routes":{"POST /large":"1mb"}}}' }
  const { port, records } = await start(t, {}, { env })
  const post = (path, size) => request(port, path, { method: 'POST', body: 'a'.repeat(size) })
  const { status, headers, body } = await post('/', 2000)
  assert.deepEqual([status, body], [413, 'request entity too large\n'])
  assert.equal(headers['content-type'], 'text/plain; charset=utf-8')
  assert.deepEqual([(await post('/', 1000)).body, (await post('/large', 2000)).body], ['app', 'app'])
  const rows = await until(async () => {
    const { routes } = (await cli.show(records))[0]
    return routes.length >= 2 && routes
  }, 'both rows')
  assert.deepEqual(rows.map(({ status, count }) => [status, count]).sort(), [
    ['2xx', 2],
    ['4xx', 1]
  ])
})

test('shed with its report changes no answer', async t => {
  const env = { PLIMSOLL_OPTIONS: '{"shed":{"heap":[0,0.0001],"report":true}}' }
  const { port } = await start(t, {}, { env })
  for (let i = 0; i < 20; i++) assert.equal((await request(port, '/')).status, 200)
})

test('shed refuses in front of the app with Retry-After', async t => {
  const env = { PLIMSOLL_OPTIONS: '{"shed":{"heap":[0,0.0001]}}' }
  const { port } = await start(t, {}, { env })
  const refused = await until(async () => {
    const answered = await request(port, '/')
    return answered.status === 503 && answered
  }, 'a refusal')
  assert.equal(refused.body, 'server overloaded\n')
  assert.match(refused.headers['retry-after'], /^[1-5]$/)
})

test('metrics at a port of the loopback interface do not keep the process alive, and are no request of the app', async t => {
  const free = await serve(http.createServer())
  await free.close()
  const env = { PLIMSOLL_OPTIONS: `{"metrics":{"port":${free.port}}}` }
  const app = `${APP.trimEnd()}.on('request', req => req.url === '/end' && setImmediate(() => process.emit('SIGUSR2')))
  process.once('SIGUSR2', () => { const h = process._getActiveHandles(); for (const s of h) s.close?.() })`
  const { port, ended, stderr } = await start(t, { 'app.cjs': app }, { env })
  assert.equal((await request(port, '/')).body, 'app')
  const metrics = await until(
    () => request(free.port, '/metrics').catch(error => error.code !== 'ECONNREFUSED' && Promise.reject(error)),
    'metrics'
  )
  assert.match(metrics.body, /^plimsoll_http_requests_total 1$/m)
  assert.equal((await request(free.port, '/')).status, 404)
  assert.equal(stderr(), '')
  await request(port, '/end', { headers: { connection: 'close' } })
  assert.deepEqual(await ended, { code: 0, signal: null })
})

test('a port that is taken is one warning, and the app runs', async t => {
  const taken = await serve(http.createServer((_req, res) => res.end()))
  t.after(taken.close)
  const { port, stderr } = await start(t, {}, { env: { PLIMSOLL_OPTIONS: `{"metrics":{"port":${taken.port}}}` } })
  assert.equal((await request(port, '/')).body, 'app')
  await until(
    () => /PLIMSOLL_CONFIG.*metrics cannot be served at 127\.0\.0\.1:\d+: .*EADDRINUSE/.test(stderr()),
    'the warning'
  )
})
