'use strict'

const { fork } = require('node:child_process')
const { once } = require('node:events')
const { isAbsolute, join } = require('node:path')

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Starts `__test__/apps/<app>.js`, or the file of an absolute path, in a process of its own and waits until it listens:
 * `{ pid, port, ask(question), output(), kill(signal), exited }`.
 */
async function start(app, { node = process.execPath, execArgv = [], env = {}, args = [], cwd } = {}) {
  const child = fork(isAbsolute(app) ? app : join(__dirname, '..', 'apps', `${app}.js`), args, {
    execPath: node,
    execArgv,
    cwd,
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc']
  })
  running.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', text => {
      output += text
    })
  const exited = once(child, 'exit').then(([code, signal]) => {
    running.delete(child)
    return { code, signal }
  })
  // The last messages may arrive after the exit.
  const silent = Promise.all([exited, once(child, 'disconnect')])
  /** The child's message about a topic. A child that ends first is an error. The promise need not be awaited. */
  const said = topic => {
    const message = Promise.race([
      answer(child, topic),
      silent.then(([end]) => {
        throw new Error(`${app} ended before '${topic}' was answered: ${JSON.stringify(end)}\n${output}`)
      })
    ])
    message.catch(() => {})
    return message
  }
  const { port } = await said('listening')
  return {
    pid: child.pid,
    port,
    exited,
    output: () => output,
    kill: signal => child.kill(signal),
    /** Sends a question and waits for its answer. */
    ask(question, detail) {
      const answered = said(question).then(({ value }) => value)
      answered.catch(() => {})
      // If sending fails, the child has ended, which is then reported.
      child.send({ question, detail }, () => {})
      return answered
    },
    async stop() {
      child.kill('SIGKILL')
      await exited
    }
  }
}

function answer(child, topic) {
  return new Promise(resolve => {
    child.on('message', function listen(message) {
      if (message.topic !== topic) return
      child.off('message', listen)
      resolve(message)
    })
  })
}

module.exports = { start }
