'use strict'

/*
 * In the process of the app that is soaked, in front of its own code (`--require`): finds its server, answers questions about memory, and
 * ends with the parent. It starts nothing of plimsoll's, so that the app's own `plimsoll()` finds all as it would elsewhere;
 * but the app's record stays in memory: the process is killed, and that is no death.
 */

const fs = require('node:fs')
const v8 = require('node:v8')
const { isMainThread } = require('node:worker_threads')

/**
 * What V8 makes for itself is not the app's: optimised code, bytecode that is thrown away and made again, scripts that are kept in case they
 * come again. Without these a healthy app's heap is the same from block to block within some hundred bytes; with them it is 10 to 60 KB up and down.
 */
const FLAGS = ['--no-opt', '--no-maglev', '--no-flush-bytecode', '--no-compilation-cache']

// Threads and children of the app inherit the flag that loads this file; they have no business here.
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
  // Nothing is to be left behind, and an app may have handlers that keep a process that has lost its parent.
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
  // The app must be able to end by itself, as one does that exports nothing.
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
