'use strict'

/*
 * `Expect: 100-continue`: a client that asks before it uploads. Node tells it to go on before any middleware has run; an attached
 * server runs the app first and says `100 Continue` when somebody begins to read the body. Whoever refuses until then, limit() or a guard
 * of the app's own, has not been sent a byte of it.
 */

const { Server } = require('node:net')
const options = require('../core/options.js')
const { onFirstRead } = require('./first-read.js')
const { announcedLength, isRefused } = require('./tap.js')

/** On the listener of every copy of plimsoll, whatever its version. */
const OURS = Symbol.for('plimsoll.attach')

/** Lets a server's `100 Continue` wait for the app. Does nothing on a server that has a `checkContinue` listener of its own. */
function attach(server, given) {
  const where = 'attach()'
  if (!(server instanceof Server)) {
    options.fail(`${where}'s server`, server, 'a server of node:http, https or http2, as app.listen() returns it')
  }
  options.object(`${where}'s options`, given, [])
  if (server.listeners('checkContinue').some(isOurs)) return server
  const listener = (req, res) => askLate(server, req, res)
  listener[OURS] = true
  server.on('checkContinue', listener)
  return server
}

function askLate(server, req, res) {
  // The app's own listener decides, and answers.
  const listeners = server.listeners('checkContinue')
  if (listeners.length > 1 && !listeners.every(isOurs)) return
  let sent = false
  const goOn = () => {
    if (sent || isRefused(req) || res.headersSent || res.destroyed) return
    sent = true
    res.writeContinue()
  }
  // Nothing will be uploaded.
  if (announcedLength(req) === undefined) goOn()
  // When the response is over Node reads what is left.
  onFirstRead(req, () => res.writableEnded || goOn())
  onSuccess(res, goOn)
  server.emit('request', req, res)
}

/** Calls `succeeds()` before the head of a successful response: an app that takes no notice of a body does not refuse it. */
function onSuccess(res, succeeds) {
  const { writeHead } = res
  res.writeHead = function (status, ...rest) {
    if (status >= 200 && status < 300) succeeds()
    return Reflect.apply(writeHead, this, [status, ...rest])
  }
}

function isOurs(listener) {
  return listener[OURS] === true
}

module.exports = attach
