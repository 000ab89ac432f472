'use strict'

const { spawn } = require('node:child_process')
const readline = require('node:readline')

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
// A signal must end through 'exit', which kills the children and removes the folder of records.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1))

const STDERR_KEPT = 8192

// A Node program that writes JSON lines to stdout.
class Child {
  constructor(node, args, { env } = {}) {
    this.name = args.find(arg => !arg.startsWith('-'))
    this.process = spawn(node, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    this.stderr = ''
    this.messages = []
    this.waiting = null
    this.ended = false
    running.add(this.process)
    this.process.stderr.setEncoding('utf8').on('data', text => {
      this.stderr = (this.stderr + text).slice(-STDERR_KEPT)
    })
    this.process.stdin.on('error', () => {})
    readline.createInterface({ input: this.process.stdout }).on('line', line => {
      let message
      try {
        message = JSON.parse(line)
      } catch {
        this.stderr = `${this.stderr}${line}\n`.slice(-STDERR_KEPT)
        return
      }
      this.messages.push(message)
      this.wake()
    })
    this.exit = new Promise(resolve => {
      this.process.on('error', error => {
        this.ended = true
        this.failure = error
        running.delete(this.process)
        this.wake()
        resolve(null)
      })
      this.process.on('close', (code, signal) => {
        this.ended = true
        this.code = code ?? signal
        running.delete(this.process)
        this.wake()
        resolve(this.code)
      })
    })
  }

  wake() {
    if (this.waiting) this.waiting()
  }

  fail(what) {
    const output = this.stderr.trim()
    return new Error(`${this.name}: ${what}${output ? `; its output:\n${output}` : ''}`)
  }

  async next(seconds, what) {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.wake()
    }, seconds * 1000)
    try {
      while (this.messages.length === 0) {
        if (this.failure) throw this.failure
        if (this.ended) throw this.fail(`ended (${this.code}) before ${what}`)
        if (late) throw this.fail(`no answer within ${seconds} s: ${what}`)
        await new Promise(resolve => {
          this.waiting = resolve
        })
        this.waiting = null
      }
    } finally {
      clearTimeout(timer)
    }
    const message = this.messages.shift()
    if (message.error) throw this.fail(message.error)
    return message
  }

  ask(line, seconds) {
    this.process.stdin.write(`${line}\n`)
    return this.next(seconds, `'${line}'`)
  }

  async end(seconds = 10) {
    this.process.stdin.end()
    const timer = setTimeout(() => this.process.kill('SIGKILL'), seconds * 1000)
    const code = await this.exit
    clearTimeout(timer)
    return code
  }
}

module.exports = Child
