'use strict'

const { once } = require('node:events')
const { readFileSync, readdirSync } = require('node:fs')
const http = require('node:http')
const { join } = require('node:path')
const { start } = require('../support/child.js')
const { connect } = require('../support/http.js')

const FOLDER = join(__dirname, 'apps')
/** Until a leak is found, and of a healthy app, at least. */
const REQUESTS = 1500
/** As much more than its twin took, and so many at least, is asked of a healthy app. */
const MORE = 2
const HEALTHY_REQUESTS = 400
const DEADLINE_MS = 60_000

const names = readdirSync(FOLDER).map(file => file.replace(/\.js$/, ''))

/** The declaration of an app, without running it here: some begin to work when they are loaded. */
function describe(name) {
  const text = readFileSync(join(FOLDER, `${name}.js`), 'utf8')
  const find = pattern => pattern.exec(text)
  const quoted = /exports\.mechanism = (['"])(.*)\1/.exec(text)
  const expected = find(/exports\.expected = \{ kind: '(.*?)', route: '(.*?)'(?:, place: '(.*?)')? \}/)
  const request = find(/exports\.request = (\{.*\})/)
  return {
    name,
    mechanism: quoted[2],
    twins: ['leaky', 'healthy'].filter(twin => text.includes(`exports.${twin} =`)),
    /** The Node from which on it is no leak. */
    below: Number(find(/exports\.below = (\d+)/)?.[1] ?? Number.POSITIVE_INFINITY),
    needs: find(/exports\.needs = '(.*)'/)?.[1] ?? null,
    expected: expected && { kind: expected[1], route: expected[2], origin: originOf(text, name, expected[3]) },
    request: request === null ? {} : new Function(`return ${request[1]}`)()
  }
}

/** The place of a marker, at the end of its line or alone before it: file and line, as findings show them. */
function originOf(text, name, marker) {
  if (marker === undefined) return null
  const lines = text.split('\n')
  const at = lines.findIndex(line => line.endsWith(`// ${marker}`)) + 1
  const line = lines[at - 1]?.trim() === `// ${marker}` ? at + 1 : at
  if (at === 0) throw new Error(`${name}: no line ends with // ${marker}`)
  return `${join('__test__', 'corpus', 'apps', `${name}.js`)}:${line}`
}

/**
 * Runs one twin under load: `{ findings, requests, faults }`. A leaky one until something is found; a healthy one for as many requests and
 * as long as its twin took (`atLeast`).
 */
async function run(app, twin, { node, env = {}, atLeast = { requests: REQUESTS, ms: 0 } } = {}) {
  const server = await start('../corpus/serve', { node, execArgv: ['--expose-gc'], args: [app.name, twin], env })
  const agent = new http.Agent({ keepAlive: true, maxSockets: app.request.connections ?? 4 })
  const begun = Date.now()
  try {
    let requests = 0
    for (;;) {
      await burst(server.port, app, agent, requests, Math.min(100, 20 + requests))
      requests += Math.min(100, 20 + requests)
      // Both are due to V8: a server under more load collects by itself.
      await server.ask('gc')
      const { findings, faults } = await server.ask('findings')
      const found = findings.filter(({ kind }) => kind !== 'heap-limit')
      const ms = Date.now() - begun
      const enough =
        twin === 'leaky'
          ? found.length > 0
          : requests >= Math.max(HEALTHY_REQUESTS, MORE * atLeast.requests) && ms >= atLeast.ms
      if (enough || ms > DEADLINE_MS) return { findings: found, requests, ms, faults, output: server.output() }
      if (requests >= REQUESTS) await new Promise(resolve => setTimeout(resolve, 200))
    }
  } finally {
    agent.destroy()
    await server.stop()
  }
}

async function burst(port, app, agent, from, amount) {
  const method = app.request.method ?? 'GET'
  const path = id => (app.expected?.route.split(' ')[1] ?? '/').replace(/:\w+/, id)
  let next = from
  async function client() {
    while (next < from + amount) {
      const id = next++
      if (app.request.abort) await cut(port, `${method} ${path(id)}`)
      else await ask({ port, host: '127.0.0.1', method, path: path(id), agent })
    }
  }
  await Promise.all(Array.from({ length: agent.maxSockets }, client))
}

function ask(options) {
  return new Promise((resolve, reject) => {
    const req = http.request(options, res => {
      res.resume()
      res.on('end', () => (res.statusCode === 500 ? reject(new Error('the app failed')) : resolve()))
    })
    req.on('error', reject)
    req.end()
  })
}

/** Goes away when the answer has begun. */
async function cut(port, line) {
  const { socket } = await connect(port)
  socket.write(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`)
  await Promise.race([once(socket, 'data'), once(socket, 'close')])
  socket.destroy()
}

/** Whether a finding is the one that was expected. */
function fits({ expected }, finding) {
  return (
    finding.kind === expected.kind &&
    finding.route === expected.route &&
    (expected.origin === null ||
      finding.origin === expected.origin ||
      finding.origin?.startsWith(`${expected.origin}:`) === true)
  )
}

/** Whether it is a leak on this Node. */
function leaks(app) {
  return app.twins.includes('leaky') && Number.parseInt(process.versions.node, 10) < app.below
}

module.exports = { names, describe, run, fits, leaks }
