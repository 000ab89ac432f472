'use strict'

// `node --import plimsoll/register app.js`: apps that know nothing of Plimsoll are tracked, and answer as without it.

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http2 = require('node:http2')
const https = require('node:https')
const net = require('node:net')
const path = require('node:path')
const { before, after, describe, test } = require('node:test')
const os = require('node:os')
const cli = require('../support/cli.js')
const { answer } = require('../support/frameworks.js')
const { request, until } = require('../support/http.js')
const { nodes, major } = require('../support/nodes.js')
const { APPS, REGISTER, ROOT, app, launch } = require('../support/registered.js')

const json = { 'content-type': 'application/json' }
const PLAIN = [
  ['GET', '/'],
  ['HEAD', '/'],
  ['GET', '/nowhere?a=1'],
  ['GET', '/late'],
  ['GET', '/chunks'],
  ['POST', '/echo', { body: 'a body' }],
  ['PUT', '/echo', { headers: { expect: '100-continue' }, body: 'a body' }]
]
const EXPRESS = [
  ['GET', '/api/v1/users/7'],
  ['GET', '/api/v2/users/8'],
  ['HEAD', '/api/v1/users/7'],
  ['OPTIONS', '/api/v1/users/7'],
  ['GET', '/api/v1/throws'],
  ['GET', '/nowhere'],
  ['POST', '/echo', { headers: json, body: '{"a":[1,2]}' }],
  ['POST', '/echo', { headers: json, body: '{"a"' }]
]
const SPECIAL = [
  ...PLAIN,
  ['GET', '/', { headers: { upgrade: 'other', connection: 'upgrade' } }],
  ['POST', '/refused', { headers: { expect: '100-continue' }, body: 'never read' }]
]
/** By kind of server: how it is asked, what, and the rows of its record. */
const KINDS = {
  http: { ask: raw, requests: PLAIN, rows: { 'GET (unmatched)': 4, 'HEAD (unmatched)': 1, 'POST (unmatched)': 1 } },
  https: { ask: secure, requests: PLAIN.slice(0, 6), rows: { 'GET (unmatched)': 4, 'POST (unmatched)': 1 } },
  http2: { ask: streams('http'), requests: PLAIN.slice(0, 6), rows: { 'GET (unmatched)': 4 } },
  http2s: { ask: streams('https'), requests: PLAIN.slice(0, 6), rows: { 'GET (unmatched)': 4 } },
  express: { ask: raw, requests: EXPRESS, rows: { 'GET /api/:version/users/:id': 2, 'GET /api/:version/throws': 1 } },
  express4: { ask: raw, requests: EXPRESS, rows: { 'GET /api/:version/users/:id': 2, 'POST /echo': 1 } },
  special: { ask: raw, requests: SPECIAL, rows: { 'GET (unmatched)': 4, 'POST (unmatched)': 2, 'PUT (unmatched)': 1 } }
}
/** Kinds that use the modules that differ between versions of Node. */
const EVERYWHERE = ['http2', 'express', 'special']

let folder
let tls

before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-register-'))
  tls = { KEY: path.join(folder, 'key.pem'), CERT: path.join(folder, 'cert.pem') }
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
  const files = ['-keyout', tls.KEY, '-out', tls.CERT]
  execFileSync('openssl', ['req', '-x509', ...curve, '-subj', '/CN=localhost', ...files], { stdio: 'ignore' })
})

after(() => fs.rmSync(folder, { recursive: true, force: true }))

function raw(port, ...given) {
  return answer(port, ...given)
}

/** Status, headers without the date, and body. */
async function secure(port, method, path, { headers = {}, body } = {}) {
  const req = https.request({ port, method, path, headers, rejectUnauthorized: false, agent: false })
  req.end(body)
  const [res] = await once(req, 'response')
  const text = (await res.setEncoding('utf8').toArray()).join('')
  const { date, ...rest } = res.headers
  return JSON.stringify([res.statusCode, rest, text])
}

function streams(scheme) {
  return async (port, method, path, { headers = {}, body = '' } = {}) => {
    const session = http2.connect(`${scheme}://127.0.0.1:${port}`, { rejectUnauthorized: false })
    try {
      const stream = session.request({ ':method': method, ':path': path, ...headers }, { endStream: body === '' })
      if (body !== '') stream.end(body)
      const [{ date, ...rest }] = await once(stream, 'response')
      return JSON.stringify([rest, (await stream.setEncoding('utf8').toArray()).join('')])
    } finally {
      session.close()
    }
  }
}

/** `{ 'GET /users/:id': count }` of the newest record of a folder. */
function rowsOf({ routes }) {
  const rows = {}
  for (const { method, route, count } of routes) {
    rows[`${method} ${route}`] = (rows[`${method} ${route}`] ?? 0) + count
  }
  return rows
}

/** The records of a folder, when they have counted this many requests. */
function recorded(dir, requests) {
  return until(async () => {
    const records = await cli.show(dir).catch(() => [])
    const counts = records.flatMap(record => Object.values(rowsOf(record)))
    return counts.reduce((sum, count) => sum + count, 0) >= requests && records
  }, `${requests} requests in the records of ${dir}`)
}

for (const node of nodes) {
  describe(`Node ${major(node)}`, { concurrency: 2 }, () => {
    for (const [kind, { ask, requests, rows }] of Object.entries(KINDS)) {
      if (node.path !== process.execPath && !EVERYWHERE.includes(kind)) continue
      test(`${kind}: answers as without it, and each request is recorded`, async t => {
        const dir = cli.folder(t)
        // Otherwise Express answers an error with its stack.
        const env = { ...tls, PLIMSOLL_DIR: dir, NODE_ENV: 'production' }
        const way = kind === 'http' ? 'options' : kind === 'express' ? 'import' : 'require'
        const options = { args: [kind], node: node.path, env }
        const [bare, with_] = await Promise.all(['bare', way].map(way => app(t, 'servers.js', { ...options, way })))
        for (const each of requests)
          assert.equal(await ask(with_.port, ...each), await ask(bare.port, ...each), `${each}`)
        // An upgraded request is none that is tracked.
        const upgrades = requests.filter(([, , { headers } = {}]) => headers?.upgrade !== undefined).length
        const [record] = await recorded(dir, requests.length - upgrades)
        const seen = rowsOf(record)
        for (const [row, count] of Object.entries(rows)) assert.equal(seen[row], count, JSON.stringify(seen))
        assert.equal(
          Object.values(seen).reduce((sum, count) => sum + count, 0),
          requests.length - upgrades
        )
        // Express prints an error with its stack, and the tracker is in it.
        const printed = ({ output, port }) =>
          output()
            .replace(port, 'port')
            .replace(/^ {4}at .*?( {)?\n/gm, '')
        assert.equal(printed(with_), printed(bare))
      })
    }

    test('an ES module is tracked in all ways', async t => {
      for (const way of node.path === process.execPath ? ['require', 'import', 'options'] : ['import']) {
        const dir = cli.folder(t)
        const { port, stderr } = await app(t, 'module.mjs', { way, node: node.path, env: { PLIMSOLL_DIR: dir } })
        for (const id of [1, 2, 3]) assert.equal((await request(port, `/users/${id}`)).body, `{"id":"${id}"}`)
        assert.deepEqual(rowsOf((await recorded(dir, 3))[0]), { 'GET /users/:id': 3 }, way)
        assert.equal(stderr(), '')
      }
    })
  })
}

test('servers, worker threads and forked children of a process are all recorded', async t => {
  const dir = cli.folder(t)
  const started = launch(['--require', REGISTER, 'several.js'], { env: { PLIMSOLL_DIR: dir } })
  t.after(started.stop)
  const bodies = []
  for (const port of await started.ports(4)) bodies.push((await request(port, '/')).body)
  assert.deepEqual(bodies.sort(), ['child', 'first', 'second', 'thread'])
  const counts = (await recorded(dir, 4)).map(record => rowsOf(record)['GET (unmatched)']).sort()
  assert.deepEqual(counts, [1, 1, 2])
  assert.equal(started.stderr(), '')
})

test("an app's own plimsoll() joins: its options are in effect, and a request is counted once", async t => {
  const dir = cli.folder(t)
  const { port, stderr } = await app(t, 'servers.js', { args: ['joined'], env: { PLIMSOLL_DIR: dir } })
  for (const id of [1, 2]) assert.equal((await request(port, `/users/${id}`)).body, `{"id":"${id}"}`)
  const records = await recorded(dir, 2)
  assert.equal(records.length, 1)
  assert.equal(records[0].name, 'named-by-the-app')
  assert.deepEqual(rowsOf(records[0]), { 'GET /users/:id': 2 })
  assert.equal(stderr(), '')
})

test('a program without a server loads no addon, leaves no record and prints nothing of its own', async t => {
  const dir = cli.folder(t)
  const env = { NODE_OPTIONS: `--require ${REGISTER}`, PLIMSOLL_DIR: dir, PLIMSOLL_OPTIONS: '{"no-option":1}' }
  const program = `
    const net = require('node:net')
    const http = require('node:http')
    http.createServer(() => {})
    net.createServer(socket => socket.end('raw')).listen(0, function () {
      net.connect(this.address().port).on('data', data => {
        console.log(String(data), Object.keys(require.cache).some(file => /\\.node$|lib.api\\.js$/.test(file)))
        process.exit()
      })
    })`
  const script = launch(['-e', program], { env })
  assert.deepEqual(await script.ended, { code: 0, signal: null })
  assert.equal(script.output(), 'raw false\n')
  const npm = launch(['--version'], { env, command: 'npm' })
  assert.deepEqual(await npm.ended, { code: 0, signal: null })
  assert.match(npm.output(), /^\d+\.\d+\.\d+\n$/)
  assert.deepEqual(fs.readdirSync(dir), [])
})

test('PLIMSOLL=off starts nothing', async t => {
  const dir = cli.folder(t)
  const { port, stderr } = await app(t, 'servers.js', { args: ['http'], env: { PLIMSOLL_DIR: dir, PLIMSOLL: 'off' } })
  assert.equal((await request(port, '/')).status, 200)
  assert.deepEqual(fs.readdirSync(dir), [])
  assert.equal(stderr(), '')
})

test('what other code does with emit stays: domains, wrappers, own methods, other values, other servers', async t => {
  const dir = cli.folder(t)
  const program = `
    const http = require('node:http')
    const assert = require('node:assert')
    const seen = []
    const server = http.createServer((req, res) => { seen.push(req); return res?.end?.('done') })
    assert.equal(server.emit('request', null, undefined), true)
    assert.equal(server.emit('request', {}, {}), true)
    assert.equal(server.emit('request'), true)
    assert.equal(http.createServer().emit('request', {}, {}), false)
    assert.deepEqual(seen, [null, {}, undefined])
    assert.equal(server.emit.length, 1)
    assert.equal(server.emit.name, 'emit')
    assert.deepEqual(server.eventNames(), http.createServer(() => {}).eventNames())
    const { emit } = http.Server.prototype
    let wrapped = 0
    http.Server.prototype.emit = function (...args) { if (args[0] === 'request') wrapped += 1; return emit.apply(this, args) }
    const domain = require('node:domain').create()
    domain.on('error', error => { console.log('domain: ' + error.message, wrapped); process.exit() })
    domain.run(() => {
      const throwing = http.createServer(() => { throw new Error('thrown') })
      throwing.listen(0, () => http.get({ port: throwing.address().port }).on('error', () => {}))
    })`
  const { ended, output } = launch(['--require', REGISTER, '-e', program], { env: { PLIMSOLL_DIR: dir } })
  assert.deepEqual(await ended, { code: 0, signal: null }, output())
  assert.equal(output(), 'domain: thrown 1\n')
})

test('an uncaught exception of a handler ends the process with the same message and code', async t => {
  const dir = cli.folder(t)
  const file = path.join(dir, 'throws.js')
  fs.writeFileSync(
    file,
    `const http = require('node:http')
     const server = http.createServer(function handler() { throw new Error('of the app') })
     server.listen(0, () => http.get({ port: server.address().port }).on('error', () => {}))`
  )
  const [bare, with_] = [[], ['--require', REGISTER]].map(flags =>
    launch([...flags, file], { env: { PLIMSOLL_DIR: dir } })
  )
  assert.deepEqual(await with_.ended, await bare.ended)
  const head = text => text.slice(0, text.indexOf('handler'))
  assert.equal(head(with_.stderr()), head(bare.stderr()))
})

test('a server that never listens, with sockets from another one, is tracked', async t => {
  const dir = cli.folder(t)
  const program = `
    const server = require('node:http').createServer((req, res) => res.end('sticky'))
    require('node:net').createServer(socket => server.emit('connection', socket)).listen(0, '127.0.0.1', function () {
      console.log('listening ' + this.address().port)
    })`
  const started = launch(['--require', REGISTER, '-e', program], { env: { PLIMSOLL_DIR: dir } })
  t.after(started.stop)
  const [port] = await started.ports()
  assert.equal((await request(port, '/a')).body, 'sticky')
  assert.deepEqual(rowsOf((await recorded(dir, 1))[0]), { 'GET (unmatched)': 1 })
})

test('another tool that has wrapped the emit of http servers before does not hide them', async t => {
  const dir = cli.folder(t)
  const tool = path.join(dir, 'tool.js')
  fs.writeFileSync(
    tool,
    `const { Server } = require('node:http')
     const { emit } = require('node:events').prototype
     Server.prototype.emit = function (...args) { return Reflect.apply(emit, this, args) }`
  )
  const started = launch(['--require', tool, '--require', REGISTER, 'servers.js', 'http'], {
    env: { PLIMSOLL_DIR: dir }
  })
  t.after(started.stop)
  const [port] = await started.ports()
  assert.equal((await request(port, '/')).status, 200)
  assert.deepEqual(rowsOf((await recorded(dir, 1))[0]), { 'GET (unmatched)': 1 })
})

test('connections that end in all ways leave no request in flight', async t => {
  const dir = cli.folder(t)
  const { port } = await app(t, 'servers.js', { args: ['http'], env: { PLIMSOLL_DIR: dir } })
  const write = async text => {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {})
    await once(socket, 'connect')
    socket.write(text)
    return socket
  }
  const aborted = await write('POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart')
  await once(aborted, 'data')
  aborted.resetAndDestroy()
  const pipelined = await write('GET /late HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(5))
  await once(pipelined, 'data')
  pipelined.destroy()
  const [{ inFlight }] = await recorded(dir, 6)
  assert.deepEqual(inFlight, [])
})

test('the package exports it for both flags', () => {
  const { exports, files } = require(path.join(ROOT, 'package.json'))
  assert.deepEqual(exports['./register'], { types: './register.d.ts', default: './register.js' })
  for (const name of ['register.js', 'register.d.ts']) assert.ok(files.includes(name))
  assert.equal(require.resolve('plimsoll/register', { paths: [APPS] }), REGISTER)
})
