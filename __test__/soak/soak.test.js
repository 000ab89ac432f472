'use strict'

// `plimsoll soak` on real apps. A leak fails, with the right route and its size. An app without a leak passes. If there
// can be no verdict, there is an error with the reason.

const assert = require('node:assert/strict')
const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const { join } = require('node:path')
const { describe, it } = require('node:test')
const { pathToFileURL } = require('node:url')
const plimsoll = require('../..')
const { start } = require('../support/child.js')
const cli = require('../support/cli.js')
const { request, until } = require('../support/http.js')
const { childrenOf } = require('../support/processes.js')
const { BYTES } = require('../apps/soak/known.js')

const APPS = join('__test__', 'apps', 'soak')
const app = name => join(__dirname, '..', 'apps', 'soak', name)
const KEEP = fs.readFileSync(app('known.js'), 'utf8').split('\n')
const LINES = ['function keep', 'constructor'].map(text => KEEP.findIndex(line => line.includes(text)) + 1)
/** Enough for an app that retains nothing, in little time. */
const SHORT = { requests: 40, warmup: 200 }
const shortly = ['--requests', '40', '--warmup', '200']

const soak = (...args) => cli.plimsoll(['soak', ...args], { NODE_OPTIONS: '' })

function assertXml(file) {
  const parse = 'import sys, xml.dom.minidom; print(xml.dom.minidom.parse(sys.argv[1]).documentElement.tagName)'
  assert.equal(execFileSync('python3', ['-c', parse, file], { encoding: 'utf8' }).trim(), 'testsuites')
}

describe('soak', { concurrency: 2 }, () => {
  it('finds the route that leaks, by its exact size, with its allocation site, its class and what retains it; an LRU passes', async () => {
    const result = await plimsoll.soak(app('shop.js'), { routes: ['GET /exact', 'GET /articles/:id'] })
    const text = String(result)
    assert.equal(result.verdict, 'failed', text)
    const [exact, articles] = result.routes
    assert.equal(exact.verdict, 'failed', text)
    assert.equal(articles.verdict, 'passed', text)
    const { value, low, high } = exact.bytesPerRequest
    assert.ok(Math.abs(value / BYTES - 1) < 0.03, `${value} of ${BYTES}`)
    assert.ok(low <= value && value <= high)
    const [site] = exact.sites
    // If the constructor is inlined, its allocations are its caller's.
    assert.ok(
      LINES.some(line => site.origin === join(APPS, `known.js:${line}`)),
      site.origin
    )
    const [link, ...others] = exact.classes
    assert.deepEqual([link.name, others], ['Link', []])
    assert.ok(Math.abs(link.perThousand - 1000) < 30, `${link.perThousand}`)
    assert.match(link.path.join(' → '), /newest: Link/)
    assert.match(text, /GET \/exact: failed\n {2}JavaScript heap: 4,1\d\d B per request/)
  })

  it('waits for what goes a little later than its request: it is no growth in turn with another route', async () => {
    const routes = ['GET /later', 'GET /slow']
    const result = await plimsoll.soak(app('later.js'), { routes, connections: 4, warmup: 200, evidence: false })
    const [later] = result.routes
    assert.equal(later.verdict, 'passed', String(result))
    assert.equal(later.quantities.heap.verdict, 'under', String(result))
    assert.deepEqual(later.notes, [])
  })

  it('holds to the bound of --max, and finds the routes of an Express app by itself', async t => {
    const junit = join(cli.folder(t), 'soak.xml')
    const args = ['--route', 'GET /exact', '--max', '8kb', ...shortly, '--junit', junit]
    const passed = await soak(app('shop.js'), ...args)
    assert.equal(passed.code, 0, passed.stdout + passed.stderr)
    assert.match(passed.stdout, /shop\.js: passed/)
    assert.equal(passed.stderr, '')
    assertXml(junit)

    const failed = await soak(
      app('shop.js'),
      '--route',
      'GET /exact',
      '--max',
      '1kb',
      '--no-evidence',
      '--junit',
      junit,
      '--json'
    )
    assert.equal(failed.code, 1, failed.stdout + failed.stderr)
    const { routes, maxBytesPerRequest } = JSON.parse(failed.stdout)
    assert.equal(maxBytesPerRequest, 1024)
    assert.equal(routes[0].quantities.heap.bound, 1024)
    assertXml(junit)
    assert.match(fs.readFileSync(junit, 'utf8'), /<failure message="failed: JavaScript heap/)

    const found = await soak(app('shop.js'), '--max', '8kb', ...shortly, '--json')
    assert.equal(found.code, 0, found.stdout + found.stderr)
    const { routes: driven, notes } = JSON.parse(found.stdout)
    assert.deepEqual(driven.map(({ route }) => route).sort(), ['GET /articles/:id', 'GET /exact', 'GET /waves'])
    assert.deepEqual(notes, [
      'not driven, because only GET routes are driven unless routes are named (--route, --routes, --har): POST /articles',
      'not driven: GET /broken was answered 500: no database'
    ])
  })

  it('drives a start script that listens late, with its arguments and environment, and keeps what it prints apart', async () => {
    const options = ['--env', 'SHOP=north', '--route', 'GET /a', '--json', ...shortly]
    const { code, stdout, stderr } = await soak(app('late.mjs'), ...options, '--', 'one', 'two')
    assert.equal(code, 0, stdout + stderr)
    assert.equal(JSON.parse(stdout).verdict, 'passed')
    assert.equal(stderr, '')
  })

  it('takes its routes from a HAR file, with their headers and bodies', async t => {
    const har = join(cli.folder(t), 'session.har')
    const url = path => `http://shop.example${path}`
    const entries = [
      {
        request: {
          method: 'GET',
          url: url('/articles/1?a=b'),
          headers: [{ name: ':authority', value: 'shop.example' }]
        }
      },
      {
        request: {
          method: 'POST',
          url: url('/articles'),
          headers: [
            { name: 'X-Key', value: 'secret' },
            { name: 'Content-Type', value: 'application/json' },
            { name: 'Content-Length', value: '9999' }
          ],
          postData: { mimeType: 'application/json', text: '{"title":"new"}' }
        }
      }
    ]
    fs.writeFileSync(har, JSON.stringify({ log: { version: '1.2', entries } }))
    const result = await plimsoll.soak(pathToFileURL(app('shop.js')), { har, ...SHORT })
    assert.deepEqual(
      result.routes.map(({ route, verdict }) => `${route} ${verdict}`),
      ['GET /articles/1 passed', 'POST /articles passed']
    )
    fs.writeFileSync(har, '{"log":{}}')
    await assert.rejects(plimsoll.soak(app('shop.js'), { har }), {
      code: 'ERR_PLIMSOLL_SOAK',
      message: /is not a HAR file/
    })
  })

  it("takes its routes from a running server's record; an app with plimsoll of its own works as ever", async t => {
    const folder = cli.folder(t)
    const server = await start('soak/recorded', { env: { RECORDER: folder } })
    for (let i = 0; i < 20; i++) await request(server.port, `/users/${i}`)
    await request(server.port, '/orders', { method: 'POST' })
    await until(async () => (await cli.show(folder))[0].routes.length > 1, 'the record has its routes')
    const result = await plimsoll.soak(app('recorded.js'), { from: folder, ...SHORT })
    await server.stop()
    assert.deepEqual(
      result.routes.map(({ route, verdict }) => `${route} ${verdict}`),
      ['GET /users/:id passed'],
      String(result)
    )
    const env = { RECORDER: cli.folder(t) }
    const seen = await plimsoll.soak(app('recorded.js'), { routes: ['GET /users/:id', 'GET /seen'], env, ...SHORT })
    assert.equal(seen.verdict, 'passed', String(seen))
    assert.deepEqual(fs.readdirSync(env.RECORDER), [], 'it leaves no record that would be a death')
    await assert.rejects(
      plimsoll.soak(app('recorded.js'), { from: 'nobody-is-called-so' }),
      /no record nobody-is-called-so/
    )
  })

  it('sees descriptors, timers and listeners that stay, and does not blame a route for what two share', async () => {
    const routes = ['descriptors', 'timers', 'listeners', 'large', 'small'].map(name => `GET /${name}`)
    const result = await plimsoll.soak(app('counts.cjs'), { routes, requests: 50, warmup: 100, evidence: false })
    const over = Object.fromEntries(
      result.routes.map(({ route, verdict, quantities }) => [
        route,
        [
          verdict,
          ...Object.keys(quantities).filter(
            name => ['descriptors', 'timers', 'listeners'].includes(name) && quantities[name].verdict === 'over'
          )
        ]
      ])
    )
    assert.deepEqual(
      over,
      {
        'GET /descriptors': ['failed', 'descriptors'],
        'GET /timers': ['failed', 'timers'],
        'GET /listeners': ['failed', 'listeners'],
        'GET /large': ['passed'],
        'GET /small': ['passed']
      },
      String(result)
    )
  })

  it('drives what only the hooks of --import can load, as TypeScript with tsx', async () => {
    const hooks = ['--node-arg', '--import', '--node-arg', pathToFileURL(app('hooks.mjs')).href]
    const { code, stdout, stderr } = await soak(app('app.shop'), '--route', 'GET /', ...hooks, ...shortly)
    assert.equal(code, 0, stdout + stderr)
    assert.match(stdout, /app\.shop: passed/)
  })

  it('keeps its verdict if the app dies of its leak during the search for evidence', async t => {
    const env = { MORTAL: join(cli.folder(t), 'was-here') }
    const result = await plimsoll.soak(app('late.mjs'), { routes: ['GET /mortal'], requests: 25, warmup: 50, env })
    assert.equal(result.verdict, 'failed', String(result))
    assert.match(result.routes[0].notes[0], /no more evidence: the app ended by itself \(exit code 9\)/)
  })

  it('keeps its verdict if the app cannot be started again', async t => {
    const env = { ONCE: join(cli.folder(t), 'was-here') }
    const result = await plimsoll.soak(app('late.mjs'), { routes: ['GET /mortal'], requests: 25, warmup: 50, env })
    assert.equal(result.verdict, 'failed', String(result))
    assert.match(result.notes[0], /^no evidence: the app ended by itself \(exit code 5\)/)
  })

  it('names the leak of the example, its holder and the line that adds to it', async () => {
    const example = join(__dirname, '..', '..', 'examples', 'leaky', 'app.js')
    const { code, stdout } = await soak(example)
    assert.equal(code, 1, stdout)
    const words = stdout.replace(/\s+/g, ' ')
    assert.match(words, /2 routes, .*GET \/orders\/:id failed .*GET \/orders\/:id: failed/)
    assert.match(words, /heap: 29,\d{3} B per request/)
    assert.match(
      words,
      /AuditTrail\.entries \(a Map in examples\/leaky\/audit\.js\) grows with requests: \+1,0\d\d \{lines, at\}/
    )
    assert.match(words, /Entries are added by AuditTrail\.record \(examples\/leaky\/audit\.js:12\)/)
    assert.equal(stdout.match(/grows with requests/g).length, 1, 'one leak is one row')
    assert.match(words, /not driven, .*: POST \/orders/)
  })

  it('has a row with the holder of strings and numbers in a Set or a Map', async () => {
    const routes = ['GET /strings/:id', 'GET /numbers/:id']
    const result = await plimsoll.soak(app('shapes.js'), { routes, requests: 150 })
    const text = String(result)
    const [strings, numbers] = result.routes
    assert.equal(strings.verdict, 'failed', text)
    assert.match(strings.classes[0].holder, /^seen \(a Set in __test__\/apps\/soak\/shapes\.js\)/, text)
    assert.match(strings.classes[0].addedBy, /shapes\.js:\d+/, text)
    assert.equal(numbers.verdict, 'failed', text)
    assert.match(numbers.classes[0].holder, /^rates \(a Map in __test__\/apps\/soak\/shapes\.js\)/, text)
  })

  it('says that all routes are alike, and names the middleware they share', async () => {
    const routes = ['GET /a', 'GET /b', 'GET /d']
    const result = await plimsoll.soak(app('shapes.js'), { routes, args: ['alike'] })
    assert.ok(
      result.routes.every(({ verdict }) => verdict === 'failed'),
      String(result)
    )
    const line =
      1 +
      fs
        .readFileSync(app('shapes.js'), 'utf8')
        .split('\n')
        .findIndex(text => text.includes('function accessLog'))
    assert.deepEqual(
      result.notes,
      [`all routes alike: look in the middleware they share: accessLog (${join(APPS, 'shapes.js')}:${line})`],
      String(result)
    )
  })

  it('aborts uploads in mid-body, and opens WebSocket connections', async () => {
    const uploads = { route: 'POST /uploads', abort: 'upload', body: 'x'.repeat(200_000), requests: 25 }
    const routes = [uploads, { route: 'WS /feed', body: 'hello', requests: 150 }, { route: 'WS /quiet', requests: 150 }]
    const result = await plimsoll.soak(app('shapes.js'), { routes, warmup: 100, evidence: false })
    const [upload, feed, quiet] = result.routes
    assert.equal(upload.quantities.descriptors.verdict, 'over', String(result))
    assert.ok(Math.abs(upload.quantities.descriptors.perRequest - 1) < 0.05, String(result))
    assert.equal(feed.verdict, 'failed', String(result))
    assert.equal(quiet.verdict, 'passed', String(result))
  })

  it('runs in node:test, in a process that has files and listeners of its own', async () => {
    const before = process.listenerCount('SIGINT')
    const result = await plimsoll.soak(app('shop.js'), { routes: ['GET /articles/{1..40}'], ...SHORT })
    assert.equal(result.verdict, 'passed', String(result))
    assert.equal(process.listenerCount('SIGINT'), before)
  })
})

describe('soak without a verdict', { concurrency: 2 }, () => {
  const cases = [
    [
      'exports no app',
      'nothing.js',
      [],
      /it ended without listening, and it exports an object with answer\. Expected: an Express app/
    ],
    [
      'never listens',
      'idle.js',
      ['--start-timeout', '700'],
      /it opened no port within 700 ms[\s\S]*\| waiting for a database/
    ],
    ['is not there', 'none.js', [], /there is no module .*none\.js/],
    ['answers 404', 'shop.js', ['--route', 'GET /nowhere'], /GET \/nowhere was answered 404/],
    ['is no WebSocket server', 'shop.js', ['--route', 'WS /articles/1'], /WS \/articles\/1 was answered 200/],
    [
      'answers 500',
      'shop.js',
      ['--route', 'GET /broken'],
      /GET \/broken was answered 500: no database[\s\S]*status: \[500\]/
    ],
    [
      'crashes in the middle',
      'late.mjs',
      ['--route', 'GET /crash'],
      /ended by itself \(exit code 7\)[\s\S]*\| cannot go on/
    ],
    [
      'cannot sustain the load',
      'late.mjs',
      ['--route', 'GET /slow', '--timeout', '500'],
      /GET \/slow was not answered within 500 ms/
    ],
    [
      'begins an answer and does not end it',
      'late.mjs',
      ['--route', 'GET /half', '--timeout', '2000'],
      /GET \/half was not answered to its end within 2000 ms/
    ],
    [
      'is no Express app and no route is named',
      'counts.cjs',
      [],
      /the routes of the app are not known.*--route 'GET \/users\/:id'/
    ],
    [
      'takes no such route',
      'shop.js',
      ['--route', 'users'],
      /routes\[0\]\.route takes a method and a path.*got 'users'/
    ],
    ['has no such option', 'shop.js', ['--maximum', '3'], /unexpected argument '--maximum'/],
    ['has an option out of range', 'shop.js', ['--rounds', '3'], /rounds takes a whole number from 16 to 1000; got 3/]
  ]
  for (const [name, file, args, message] of cases) {
    it(`where the app ${name}: exit code 2 and why`, async () => {
      const { code, stdout, stderr } = await soak(app(file), ...args)
      assert.equal(code, 2, stdout + stderr)
      // Independent of line breaks.
      assert.match(stderr.replace(/\s+/g, ' '), message)
      assert.equal(stdout, '')
    })
  }

  for (const [thrown, reason] of [
    ['a Symbol', /cannot be started: Symbol\(thrown\)/],
    ['an object without a prototype', /cannot be started: \[Object: null prototype\] {}/],
    ['a Proxy that traps all', /cannot be started: /]
  ]) {
    it(`where the app throws ${thrown}, the error says so`, async () => {
      await assert.rejects(plimsoll.soak(app('throws.js'), { ...SHORT, env: { THROWS: thrown } }), {
        name: 'SoakError',
        message: reason
      })
    })
  }

  it('what the function of a route throws is what soak() rejects with', async () => {
    const headers = () => {
      throw undefined
    }
    const soaked = plimsoll.soak(app('shop.js'), { ...SHORT, routes: [{ route: 'GET /exact', headers }] })
    assert.equal(await soaked.then(() => 'a verdict', String), 'undefined')
  })

  it('JUnit has it as an error', async t => {
    const junit = join(cli.folder(t), 'soak.xml')
    await soak(app('shop.js'), '--route', 'GET /broken', '--junit', junit)
    assertXml(junit)
    assert.match(fs.readFileSync(junit, 'utf8'), /<error message="GET \/broken was answered 500/)
  })

  it('what the system does not start is an error, and nothing is left of it', async t => {
    const tmp = cli.folder(t)
    const code = `
      const { soak } = require('${join(__dirname, '..', '..')}')
      const args = ['x'.repeat(1 << 20)]
      soak('${app('shop.js')}', { args }).catch(error => console.log(error.name, error.message))`
    const env = { ...process.env, TMPDIR: tmp, NODE_TEST_CONTEXT: '' }
    const said = execFileSync(process.execPath, ['-e', code], { encoding: 'utf8', env })
    assert.match(said, /^SoakError plimsoll: soak: the app could not be started: spawn E2BIG/)
    assert.deepEqual(fs.readdirSync(tmp), [])
  })

  it('holds answers open for as long as the load lasts, and says where they end before', async () => {
    // GET /open responds with 500 once one of the two open connections is gone.
    const driven = { route: 'GET /open', pauseMs: 50 }
    const routes = [driven, { route: 'GET /events', hold: 2 }, { route: 'GET /short', hold: 3 }]
    const options = { ...SHORT, routes, timeoutMs: 2000, evidence: false }
    const { verdict, notes, seconds } = await plimsoll.soak(app('held.js'), options)
    assert.equal(verdict, 'passed')
    assert.ok(seconds > 2, 'longer than a request may take')
    assert.deepEqual(notes, ['GET /short: 3 of the responses that hold keeps open have ended'])
  })

  it('is not decided where memory comes and goes by more than the bound that is to be shown', async () => {
    const args = ['--route', 'GET /waves', '--max', '100b', '--rounds', '16', ...shortly]
    const { code, stdout } = await soak(app('shop.js'), ...args)
    assert.equal(code, 2, stdout)
    assert.match(stdout, /GET \/waves: undecided\n.*100 B is allowed\n {2}not decided: the growth is too close/)
  })

  it('an app that is handed over, and options that are no such, are TypeErrors', async () => {
    const { soak } = plimsoll
    const wrong = [
      [() => {}, {}, /got a function\. The app runs in its own process/],
      [{ listen() {} }, {}, /got an object \(Object\)/],
      ['', {}, /app takes the path/],
      [Symbol('app'), {}, /app takes the path/],
      ['file:///%00', {}, /app takes the path/],
      [Object.create(null), {}, /got an object \(without a prototype\)/],
      ['a.js', { max: '1 parsec' }, /max takes a whole number of bytes/],
      ['a.js', { max: 0 }, /max takes more than 0 bytes/],
      ['a.js', { rounds: 15 }, /rounds takes a whole number from 16/],
      ['a.js', { connections: 0 }, /connections takes a whole number from 1/],
      ['a.js', { routes: [] }, /routes takes an array of routes/],
      ['a.js', { routes: ['GET /files/*'] }, /the pattern GET \/files\/\* cannot be filled/],
      ['a.js', { routes: ['GET /a', 'GET /a'] }, /each route once/],
      ['a.js', { routes: [{ route: 'GET /a', stauts: 404 }] }, /has no option 'stauts'/],
      ['a.js', { routes: [{ route: 'GET /a', status: 99 }] }, /status takes a status from 200/],
      ['a.js', { routes: [{ route: 'GET /a', hold: 3 }] }, /at least one route without hold and idle/],
      ['a.js', { routes: ['GET /a'], from: 'shop' }, /one of routes, har and from/],
      ['a.js', { cwd: '/nowhere/at/all' }, /cwd takes a folder that exists/],
      ['a.js', { cwd: __filename }, /cwd takes a folder that exists/],
      ['a.js', { cwd: join(__filename, 'x') }, /cwd takes a folder that exists/],
      ['a.js', { env: { A: 'b\0' } }, /env takes an object of strings/],
      ['a.js', { threads: 4 }, /has no option 'threads'/]
    ]
    for (const [app, options, message] of wrong)
      await assert.rejects(soak(app, options), { name: 'TypeError', message })
  })
})

describe('the end of soak', () => {
  const gone = pid => {
    try {
      process.kill(pid, 0)
      return false
    } catch {
      return true
    }
  }

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGKILL', null]
  ]) {
    it(`leaves no process and no file at ${signal}`, { skip: process.platform !== 'linux' }, async t => {
      const tmp = cli.folder(t)
      const parent = spawn(
        process.execPath,
        ['bin/plimsoll.js', 'soak', app('late.mjs'), '--route', 'GET /a', '--rounds', '1000'],
        {
          cwd: join(__dirname, '..', '..'),
          env: { ...process.env, TMPDIR: tmp, NODE_TEST_CONTEXT: '' },
          stdio: 'ignore'
        }
      )
      const ended = new Promise(resolve => parent.once('exit', resolve))
      const child = await until(() => childrenOf(parent.pid)[0], 'the app has been started')
      await until(() => fs.readdirSync(tmp).length > 0, 'its folder is there')
      parent.kill(signal)
      assert.equal(await ended, code)
      await until(() => gone(child), 'the app has gone')
      await until(() => fs.readdirSync(tmp).length === 0, 'its folder has gone')
    })
  }
})
