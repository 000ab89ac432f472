'use strict'

/* The interface of the corpus, all of it: what apps there are, and one of them running in a process of its own with its load. */

const { fork } = require('node:child_process')
const { once } = require('node:events')
const { readFileSync, readdirSync } = require('node:fs')
const { join } = require('node:path')
const { Load } = require('./drive.js')

const FOLDER = join(__dirname, 'apps')
/** Of a whole run, unless the app says otherwise: what fills up has filled up by its middle. */
const REQUESTS = 4000

const apps = readdirSync(FOLDER)
  .sort()
  .map(file => describe(file.replace(/\.js$/, '')))

/** The declaration of an app. To load it starts nothing: it does so when one of its twins is called. */
function describe(name) {
  const file = join(FOLDER, `${name}.js`)
  const { mechanism, about, reference = null, route, below = Number.POSITIVE_INFINITY, ...app } = require(file)
  return {
    name,
    file,
    mechanism,
    about: about.trim().replace(/\s+/g, ' '),
    reference,
    route,
    twins: ['leaky', 'healthy'].filter(twin => app[twin] !== undefined),
    /** The major version of Node from which on it is no leak. */
    below,
    expected: { leak: false, kinds: {}, ...app.expected, ...marked(file) },
    load: { requests: REQUESTS, connections: 4, statuses: [], ...app.load, route }
  }
}

/** `{ places: { leak: 12 }, allocations: [8] }`: the lines with a marker of that name, at the end of its line or alone before it. */
function marked(file) {
  const places = {}
  const allocations = []
  readFileSync(file, 'utf8')
    .split('\n')
    .forEach((text, i) => {
      const [, before, marker] = /^(.*?)\/\/ (leak|handler|function|caller|allocation)$/.exec(text) ?? []
      if (!marker) return
      const line = before.trim() === '' ? i + 2 : i + 1
      if (marker === 'allocation') allocations.push(line)
      else places[marker] = line
    })
  return { places, allocations }
}

/** One app by its name. */
function get(name) {
  const app = apps.find(app => app.name === name)
  if (app === undefined) throw new Error(`no app is called ${name}; there are ${apps.map(app => app.name).join(', ')}`)
  return app
}

/** Whether it leaks on that Node (a version; this one's, unless another is given). */
function leaks(app, version = process.versions.node) {
  return app.expected.leak && Number.parseInt(version.replace(/^v/, ''), 10) < app.below
}

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Starts one twin in a process of its own, and what sends it its load in this one.
 *
 * `setup`: a module that gets `{ app, name, twin, emitters, pools }` before there are routes; what it returns answers questions. `node`,
 * `execArgv`, `env`, `cwd`: of that process. `express`: the module's name, or another version's. `seed`: of the load.
 *
 * Returns `{ pid, port, load, warm(), send(requests), ask(question, detail), output(), stop() }`. It answers `memory` (after forced collections)
 * and `snapshot` (writes one to the path given), and whatever its setup does.
 */
async function start(
  name,
  twin,
  { setup = '', node = process.execPath, execArgv = [], env = {}, cwd, express = 'express', seed = 1 } = {}
) {
  const app = get(name)
  if (!app.twins.includes(twin)) throw new Error(`${name} has no ${twin} twin`)
  const child = fork(join(__dirname, 'serve.js'), [app.file, twin, express, setup && require.resolve(setup)], {
    execPath: node,
    execArgv: ['--expose-gc', ...execArgv],
    cwd,
    env: { ...process.env, NODE_ENV: 'production', NODE_TEST_CONTEXT: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc']
  })
  running.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', text => {
      // Of an app that says much, the end.
      output = (output + text).slice(-65_536)
    })
  }
  const exited = once(child, 'exit').then(end => {
    running.delete(child)
    return end
  })
  /** What a question is answered with; an error if the process ends before. */
  function answer(topic) {
    return new Promise((resolve, reject) => {
      function listen(message) {
        if (message.topic !== topic) return
        child.off('message', listen)
        if (message.error) reject(new Error(message.error))
        else resolve(message.value)
      }
      child.on('message', listen)
      exited.then(end => reject(new Error(`${name}, ${twin}, has ended: ${end.join(' ')}\n${output}`)))
    })
  }
  const port = await answer('listening')
  const load = new Load(app.load, port, seed)
  return {
    pid: child.pid,
    port,
    load,
    output: () => output,
    warm: pings => load.warm(pings),
    send: requests => load.send(requests),
    ask(question, detail) {
      const answered = answer(question)
      // Where it cannot be sent the process has ended, which is what the answer says.
      child.send({ question, detail }, () => {})
      return answered
    },
    async stop() {
      load.close()
      child.kill('SIGKILL')
      await exited
    }
  }
}

module.exports = { apps, get, leaks, start }
