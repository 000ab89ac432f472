'use strict'

const { fork } = require('node:child_process')
const { once } = require('node:events')
const { join } = require('node:path')

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Starts `__test__/apps/<app>.js` in a process of its own and waits until it listens:
 * `{ pid, port, ask(question), output(), kill(signal), exited }`.
 */
async function start(app, { node = process.execPath, execArgv = [], env = {}, args = [], cwd } = {}) {
  const child = fork(join(__dirname, '..', 'apps', `${app}.js`), args, {
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
  const { port } = await Promise.race([
    answer(child, 'listening'),
    exited.then(end => {
      throw new Error(`${app} ended before it listened: ${JSON.stringify(end)}\n${output}`)
    })
  ])
  return {
    pid: child.pid,
    port,
    exited,
    output: () => output,
    kill: signal => child.kill(signal),
    /** Sends a question and waits for the answer to it. */
    async ask(question, detail) {
      const answered = answer(child, question)
      child.send({ question, detail })
      return (await answered).value
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
