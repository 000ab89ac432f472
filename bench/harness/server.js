'use strict'

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const Child = require('./child')

const LOAD = path.join(__dirname, '..', 'programs', 'load.js')

// Usually 100.
let ticks
function ticksPerSecond() {
  ticks ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  return ticks
}

// The name and the CPU seconds (utime + stime, see proc(5)) of a process with all its threads, or of one thread. `null`
// if it has ended. The name may contain spaces, so fields are counted from its end.
function statOf(folder) {
  let stat
  try {
    stat = fs.readFileSync(`/proc/${folder}/stat`, 'latin1')
  } catch {
    return null
  }
  const nameEnd = stat.lastIndexOf(')')
  const fields = stat.slice(nameEnd + 2).split(' ')
  const seconds = (Number(fields[11]) + Number(fields[12])) / ticksPerSecond()
  return { name: stat.slice(stat.indexOf('(') + 1, nameEnd), seconds }
}

const cpuSeconds = pid => statOf(pid)?.seconds ?? null

// A subject in its own process.
class Server {
  static async start(subject, { node, env, args = [] }) {
    const server = new Server()
    server.subject = subject
    server.child = new Child(node, [...args, require.resolve(subject.file)], { env })
    server.sent = 0
    try {
      const { port, versions } = await server.child.next(60, 'its port')
      server.port = port
      server.versions = versions
      await server.probe()
    } catch (error) {
      await server.child.end()
      throw error
    }
    return server
  }

  get pid() {
    return this.child.process.pid
  }

  async probe() {
    const response = await fetch(`http://127.0.0.1:${this.port}/users/1`)
    const body = await response.text()
    this.sent++
    if (response.status !== 200 || body !== '{"ok":1}') {
      throw this.child.fail(`unexpected response: ${response.status} ${body.slice(0, 200)}`)
    }
  }

  // The figures of the load, and the CPU seconds of the server during it. Rejects if a request has failed.
  async load(amount, { node, connections }) {
    const bound = 60 + amount / 200
    const before = cpuSeconds(this.pid)
    const load = new Child(node, [LOAD, JSON.stringify({ port: this.port, amount, connections })])
    let result
    try {
      result = await load.next(bound, `${amount} requests to '${this.subject.name}'`)
    } finally {
      await load.end(result ? 10 : 0)
    }
    const after = cpuSeconds(this.pid)
    if (this.child.ended || after === null) throw this.child.fail(`ended (${this.child.code}) under load`)
    const { ok, non2xx, errors, timeouts, resets, seconds } = result
    if (ok !== amount || non2xx || errors || timeouts || resets || seconds === null) {
      const wrong = { asked: amount, ok, non2xx, errors, timeouts, resets }
      throw this.child.fail(`requests have failed: ${JSON.stringify(wrong)}`)
    }
    this.sent += amount
    return { amount, seconds, cpu: after - before, loadCpu: result.loadCpuSeconds, p50: result.p50, p99: result.p99 }
  }

  // Rejects if the subject has not counted every request: then it has not done the work that is measured.
  async state() {
    const state = await this.child.ask('state', 60)
    if (state.count !== null && state.count !== this.sent) {
      throw this.child.fail(`'${this.subject.name}' counted ${state.count} requests of ${this.sent}`)
    }
    if (state.inFlight) throw this.child.fail(`'${this.subject.name}' still has ${state.inFlight} requests in flight`)
    if (state.untracked) throw this.child.fail(`'${this.subject.name}' left ${state.untracked} requests untracked`)
    return state
  }

  // CPU seconds of the main thread, of Plimsoll's threads, and of all others (V8's workers, libuv's pool). Node 20 does
  // not name those.
  cpuByThread() {
    const seconds = { main: 0, own: 0, workers: 0 }
    for (const thread of fs.readdirSync(`/proc/${this.pid}/task`)) {
      const stat = statOf(`${this.pid}/task/${thread}`)
      const kind = Number(thread) === this.pid ? 'main' : stat?.name.startsWith('plimsoll') ? 'own' : 'workers'
      seconds[kind] += stat?.seconds ?? 0
    }
    return seconds
  }

  heap() {
    return this.child.ask('heap', 120)
  }

  end() {
    return this.child.end()
  }
}

module.exports = Server
