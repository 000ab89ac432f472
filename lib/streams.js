'use strict'

/*
 * Files and upstream answers that were piped into a response and are still open after the client went away: `pipe` unpipes them, and
 * nobody closes them. `pipeline` and `req.scope.pipe` do.
 *
 * The response itself says who is piped into it.
 */

const fs = require('node:fs')
const { IncomingMessage } = require('node:http')
const faults = require('./faults.js')
const { find } = require('./findings.js')
const origins = require('./origin.js')
const owners = require('./owners.js')

/** For a handler's own `'close'` listener to close it. */
const GRACE_MS = 500

const found = new Map()
let started = false

class Piped {
  constructor(source, res, trace) {
    this.source = source
    this.res = res
    this.trace = trace
    this.origin = null
  }

  get done() {
    return this.source === null || isClosed(this.source) || this.source.readableEnded
  }

  outlives(owner) {
    const { res } = this
    this.res = null
    this.origin = origins.read(this.trace)
    this.trace = null
    if (!res.writableFinished) setTimeout(() => this.check(owner.title), GRACE_MS).unref()
  }

  check(title) {
    try {
      const { source, done } = this
      this.source = null
      // One that is piped elsewhere too goes on.
      if (done || pipesOf(source) > 0) return
      report(title, this.origin, source instanceof fs.ReadStream ? 'a file' : "an upstream's answer")
    } catch (error) {
      faults.report('when a stream was looked at', error)
    }
  }
}

function isClosed(stream) {
  return stream.destroyed || stream.closed === true
}

function pipesOf(stream) {
  const pipes = stream._readableState?.pipes
  return Array.isArray(pipes) ? pipes.length : pipes ? 1 : 0
}

function report(title, origin, what) {
  const key = `${title}\0${origin}`
  const times = (found.get(key) ?? 0) + 1
  if (found.size < 128 || found.has(key)) found.set(key, times)
  find({
    kind: 'stream',
    route: title,
    origin: origin ?? undefined,
    severity: 'warning',
    perThousand: owners.perThousand(times, title),
    advice:
      `${what} that was piped into the response stays open when the client goes away, for good. ` +
      'Use req.scope.pipe(source, res), or stream.pipeline'
  })
}

function start() {
  if (started) return
  started = true
  owners.start()
  owners.onMeet(owner => {
    const { res } = owner.life
    res.on('pipe', source => {
      try {
        if (owner.life === null || !(source instanceof fs.ReadStream || source instanceof IncomingMessage)) return
        if (source !== owner.life.req) owner.hold(new Piped(source, res, origins.take()))
      } catch (error) {
        faults.report('when a stream was piped', error)
      }
    })
  })
}

module.exports = { start }
