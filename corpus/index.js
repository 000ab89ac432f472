'use strict'

/* The whole interface of the corpus: the apps, and how to start one in its own process with its load. */

const { fork } = require('node:child_process')
const { once } = require('node:events')
const { readFileSync, readdirSync } = require('node:fs')
const { join } = require('node:path')
const { Load } = require('./drive.js')

const FOLDER = join(__dirname, 'apps')
/** In a whole run, unless the app declares a number. Caches are full by its middle. */
const REQUESTS = 4000

const apps = readdirSync(FOLDER)
  .sort()
  .map(file => describe(file.replace(/\.js$/, '')))

/** The declaration of an app. Loading the file starts nothing. */
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
    /** The first major version of Node on which the app does not leak. */
    below,
    expected: { leak: false, kinds: {}, ...app.expected, ...marked(file) },
    load: { requests: REQUESTS, connections: 4, statuses: [], ...app.load, route }
  }
}

/**
 * The marked lines: `{ places: { leak: 12 }, allocations: [8] }`. A marker is a comment at the end of the line, or on
 * the line before it.
 */
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

/** Whether the leaky twin leaks on a version of Node (default: the current one). */
function leaks(app, version = process.versions.node) {
  return app.expected.leak && Number.parseInt(version.replace(/^v/, ''), 10) < app.below
}

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Starts one twin in its own process. The load is sent from this process. Options:
 *
 * - `setup`: a module that is called with `{ app, name, twin, emitters, pools }` before the routes are added. It
 *   returns functions that answer the questions of their names.
 * - `node` (a binary), `execArgv`, `env`, `cwd`: for the process.
 * - `express`: the name of the module. Default: `'express'`.
 * - `seed`: for the load. Default: 1.
 *
 * Returns `{ pid, port, load, warm(), send(requests), ask(question, detail), output(), stop() }`. The process answers
 * the questions `memory` (after forced collections), `snapshot` (`detail` is the path), and those of its setup.
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
      // Only the end, if the app prints much.
      output = (output + text).slice(-65_536)
    })
  }
  const exited = once(child, 'exit').then(end => {
    running.delete(child)
    return end
  })
  /** The answer to a question. Rejects if the process ends first. */
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
      // If sending fails, the process has ended, and `answered` rejects.
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
