'use strict'

/*
 * The app in a process of its own, as the main module. soak/child/main.js is loaded before it.
 */

const { fork } = require('node:child_process')
const { randomUUID } = require('node:crypto')
const { once } = require('node:events')
const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { setTimeout: pause } = require('node:timers/promises')
const { pathToFileURL } = require('node:url')
const { SoakError } = require('./error.js')

/** Characters of the app's output that are stored, the last ones, and lines of it that an error shows. */
const KEPT = 65_536
const LINES = 20
/** Time for a signal's handler before the process is killed. */
const STOP_MS = 2000
const OUTPUT_MS = 200
/** Flags with which Node loads the main module as an ES module, and with hooks. */
const HOOKS = /--(?:import|loader|experimental-loader)\b/
/** Collections of a large heap take seconds. */
const PATIENCE_MS = 60_000
/** The child itself reports that it is late, unless its event loop is blocked. */
const START_PATIENCE_MS = 10_000

const running = new Set()
process.on('exit', stopAll)

/** For an exit that does not wait. */
function stopAll() {
  for (const server of running) server.kill()
}

class Server {
  constructor(app, { args, node, execArgv, env, cwd, startMs }) {
    this.token = randomUUID()
    this.folder = mkdtempSync(join(tmpdir(), 'plimsoll-soak-'))
    this.startMs = startMs
    this.output = ''
    this.waiting = new Map()
    this.number = 0
    const hooks = [...execArgv, env.NODE_OPTIONS ?? process.env.NODE_OPTIONS ?? ''].some(arg => HOOKS.test(arg))
    const begin = JSON.stringify({ token: this.token, folder: this.folder, startMs, hooks })
    this.child = this.fork(app, args, {
      execPath: node,
      cwd,
      execArgv: [
        '--expose-gc',
        '--require',
        join(__dirname, 'child', 'main.js'),
        ...execArgv,
        ...(hooks ? ['--import', pathToFileURL(join(__dirname, 'child', 'imported.mjs')).href] : [])
      ],
      env: { NODE_ENV: 'production', ...process.env, NODE_TEST_CONTEXT: '', PORT: '0', ...env, PLIMSOLL_SOAK: begin },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc']
    })
    running.add(this)
    this.child.on('error', error => this.over(`could not be started: ${error.message}`))
    // Without file descriptors there are no streams. The error is reported as an event.
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', text => {
        this.output = (this.output + text).slice(-KEPT)
      })
    }
    const closed = once(this.child, 'close').catch(() => {})
    this.exited = once(this.child, 'exit').then(
      async ([code, signal]) => {
        // Output may arrive after the exit, and a process that has inherited the stream may keep it open.
        await Promise.race([closed, pause(OUTPUT_MS)])
        this.over(`ended by itself (${signal ?? `exit code ${code}`})`)
      },
      () => {}
    )
    this.child.on('message', message => {
      if (message?.token === this.token) this.hear(message)
    })
  }

  fork(app, args, options) {
    try {
      return fork(app, args, options)
    } catch (error) {
      // Errors that the system reports at once, such as a too long argument, are thrown instead of emitted.
      rmSync(this.folder, { recursive: true, force: true })
      throw this.failure(`could not be started: ${error.message}`)
    }
  }

  /** Resolves to the result of `meet` of soak/child/probes.js. */
  started() {
    const late = () =>
      this.settle('started', this.failure('did not report whether it listens: its event loop is blocked'))
    const timer = setTimeout(late, this.startMs + START_PATIENCE_MS)
    return this.wait('started').finally(() => clearTimeout(timer))
  }

  hear({ started, refused, id, value, error }) {
    if (started !== undefined) this.settle('started', null, started)
    else if (refused !== undefined) this.settle('started', this.failure(refused))
    else this.settle(id, error === undefined ? null : new SoakError(error), value)
  }

  /** Rejects if the process ends before it answers, or does not answer in time. */
  async ask(question, detail, patienceMs = PATIENCE_MS) {
    const id = ++this.number
    const answer = this.wait(id)
    const late = () =>
      this.settle(id, this.failure(`did not respond within ${patienceMs / 1000} s: its event loop is blocked`))
    const timer = setTimeout(late, patienceMs)
    answer.catch(() => {}).then(() => clearTimeout(timer))
    // If sending fails, the process has ended, and the answer is rejected for that reason.
    this.child.send({ token: this.token, id, question, detail }, () => {})
    return answer
  }

  wait(id) {
    return new Promise((resolve, reject) => {
      if (this.ended) reject(this.ended)
      else this.waiting.set(id, { resolve, reject })
    })
  }

  settle(id, error, value) {
    const { resolve, reject } = this.waiting.get(id) ?? {}
    this.waiting.delete(id)
    if (error) reject?.(error)
    else resolve?.(value)
  }

  /** Waits for `work`. If that fails because the process has ended, the end is reported instead. */
  async during(work) {
    try {
      return await work
    } catch (error) {
      await Promise.race([this.exited, pause(OUTPUT_MS)])
      if (this.child.exitCode !== null || this.child.signalCode !== null) await this.exited
      throw this.ended ?? error
    }
  }

  over(what) {
    if (this.ended) return
    this.ended = this.failure(what)
    running.delete(this)
    rmSync(this.folder, { recursive: true, force: true })
    for (const id of [...this.waiting.keys()]) this.settle(id, this.ended)
  }

  failure(what) {
    const lines = this.output.trimEnd().split('\n').slice(-LINES)
    const said =
      lines.join('\n').trim() === '' ? '' : `. Its last output:\n${lines.map(line => `  | ${line}`).join('\n')}`
    return new SoakError(`the app ${what}${said}`)
  }

  kill() {
    this.child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }

  async stop() {
    if (this.ended) return
    const killer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS)
    this.child.kill('SIGTERM')
    await this.exited
    clearTimeout(killer)
    rmSync(this.folder, { recursive: true, force: true })
  }
}

module.exports = { Server, stopAll }
