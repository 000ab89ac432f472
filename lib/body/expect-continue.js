'use strict'

/*
 * `Expect: 100-continue`: a client that asks before it uploads. By default Node sends `100 Continue` before any
 * middleware has run. An attached server runs the app first, and sends it when a consumer begins to read the body. If
 * limit() or a guard of the app refuses before that, the client has not sent a byte of the body.
 */

const { Server } = require('node:net')
const options = require('../core/options.js')
const { onFirstRead } = require('./first-read.js')
const { announcedLength, isRefused } = require('./tap.js')

/** Set on the listener of every copy of Plimsoll, in every version. */
const OURS = Symbol.for('plimsoll.attach')

/**
 * Delays a server's `100 Continue` until the app reads. Does nothing if the server has a `checkContinue` listener of
 * its own.
 */
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
  // The app's own listener decides and responds.
  const listeners = server.listeners('checkContinue')
  if (listeners.length > 1 && !listeners.every(isOurs)) return
  let sent = false
  const goOn = () => {
    if (sent || isRefused(req) || res.headersSent || res.destroyed) return
    sent = true
    res.writeContinue()
  }
  // The client announced no body.
  if (announcedLength(req) === undefined) goOn()
  // After the response, Node itself reads what is left.
  onFirstRead(req, () => res.writableEnded || goOn())
  onSuccess(res, goOn)
  server.emit('request', req, res)
}

/** Calls `succeeds()` before the head of a successful response: an app that ignores a body does not refuse it. */
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
