'use strict'

/*
 * Runs in the app's process before the app's own code (`--require`). It finds the server, answers questions about
 * memory, and ends with the parent. It starts nothing of Plimsoll, so the app's own `plimsoll()` works as usual. But
 * the app's record stays in memory: the process is killed, and that must not be reported as a death.
 */

const fs = require('node:fs')
const v8 = require('node:v8')
const { isMainThread } = require('node:worker_threads')

/**
 * Excludes what V8 creates for itself: optimised code, bytecode that is flushed and compiled again, and cached scripts.
 * With these flags a healthy app's heap is the same after each block within some hundred bytes. Without them it varies
 * by 10 to 60 KB.
 */
const FLAGS = ['--no-opt', '--no-maglev', '--no-flush-bytecode', '--no-compilation-cache']

// Threads and children of the app inherit the flag that loads this file. It does nothing in them.
const given = isMainThread && process.send ? process.env.PLIMSOLL_SOAK : undefined
let imported = () => {}
if (given !== undefined) begin(JSON.parse(given))

function begin({ token, folder, startMs, hooks }) {
  const ready = hooks
    ? new Promise(resolve => {
        imported = resolve
      })
    : Promise.resolve()
  delete process.env.PLIMSOLL_SOAK
  globalThis[Symbol.for('plimsoll.unrecorded')] = true
  const own = arg => arg === __filename || arg?.endsWith('/soak/child/imported.mjs')
  process.execArgv = process.execArgv.filter((arg, i, all) => !own(arg) && !own(all[i + 1]))
  for (const flag of FLAGS) v8.setFlagsFromString(flag)
  // Nothing may be left, and an app may have handlers that keep an orphaned process alive.
  process.on('disconnect', () => {
    fs.rmSync(folder, { recursive: true, force: true })
    process.kill(process.pid, 'SIGKILL')
  })
  const send = message => process.send({ ...message, token }, () => {})
  const questions = require('./probes.js')
  const describe = require('../../core/describe.js')
  process.on('message', async message => {
    if (message?.token !== token) return
    const { id, question, detail } = message
    try {
      send({ id, value: await questions[question](detail) })
    } catch (error) {
      send({ id, error: describe.message(error) })
    }
  })
  // The app must be able to exit by itself, like an app that exports nothing.
  process.channel.unref()
  require('./find-app.js')
    .find(startMs, ready)
    .then(({ server, app }) => send({ started: questions.meet(server, app, token) }))
    .catch(error => {
      const isExpected = describe.property(error, 'expected') === true
      send({
        refused: isExpected
          ? `does not listen: ${describe.message(error)}`
          : `cannot be started: ${describe.stack(error)}`
      })
    })
}

module.exports = { imported: () => imported() }
