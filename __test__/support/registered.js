'use strict'

/* Runs apps with `plimsoll/register`, as a user does: with a flag, and without a change of the app. */

const { spawn } = require('node:child_process')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { until } = require('./http.js')

const ROOT = path.join(__dirname, '..', '..')
const REGISTER = path.join(ROOT, 'register.js')
const APPS = path.join(ROOT, '__test__', 'apps', 'register')

/** Arguments of Node, and its environment, by the way in which a user loads `plimsoll/register`. */
const WAYS = {
  bare: { flags: [], env: {} },
  require: { flags: ['--require', REGISTER], env: {} },
  import: { flags: ['--import', pathToFileURL(REGISTER).href], env: {} },
  options: { flags: [], env: { NODE_OPTIONS: `--require ${REGISTER}` } }
}

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Starts a program: `{ child, output(), stderr(), ports(n), ended, stop() }`. `ports(n)` resolves to the ports of `n`
 * lines `listening <port>`. `ended` resolves to `{ code, signal }` when its output is complete.
 */
function launch(args, { node = process.execPath, env = {}, cwd = APPS, command = node } = {}) {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, NODE_TEST_CONTEXT: '', NODE_OPTIONS: '', PLIMSOLL_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  running.add(child)
  const texts = { stdout: '', stderr: '' }
  for (const name of Object.keys(texts)) {
    child[name].setEncoding('utf8').on('data', text => {
      texts[name] += text
    })
  }
  let over = null
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      running.delete(child)
      over = { code, signal }
      resolve(over)
    })
  })
  const ports = async (count = 1) => {
    const found = () => [...texts.stdout.matchAll(/^listening (\d+)$/gm)].map(([, port]) => Number(port))
    await until(() => {
      if (over !== null) throw new Error(`ended before it listened: ${JSON.stringify(over)}\n${texts.stderr}`)
      return found().length >= count
    }, `${count} ports`)
    return found()
  }
  return {
    child,
    ports,
    ended,
    output: () => texts.stdout + texts.stderr,
    stdout: () => texts.stdout,
    stderr: () => texts.stderr,
    async stop() {
      child.kill('SIGKILL')
      await ended
    }
  }
}

/** Starts an app of `__test__/apps/register/` in one of `WAYS`, and waits until it listens. */
async function app(t, file, { args = [], way = 'require', env = {}, ...options } = {}) {
  const { flags, env: own } = WAYS[way]
  const started = launch([...flags, file, ...args], { ...options, env: { ...own, ...env } })
  t.after(started.stop)
  const [port] = await started.ports()
  return { ...started, port }
}

module.exports = { ROOT, REGISTER, APPS, WAYS, app, launch }
