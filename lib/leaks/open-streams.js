'use strict'

/*
 * Files and upstream responses that were piped into a response and are still open after the client disconnected. `pipe`
 * only unpipes them, and no code closes them. `pipeline` and `req.scope.pipe` do.
 *
 * The response emits `'pipe'` with its source.
 */

const fs = require('node:fs')
const { IncomingMessage } = require('node:http')
const origins = require('../core/call-site.js')
const { placeOfCode } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const { outside } = require('../core/outside-requests.js')
const { find } = require('../recorder/findings.js')
const owners = require('./request-owner.js')

/** Time for the handler's own `'close'` listener to close the source. */
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
    return this.source === null || isDone(this.source)
  }

  outlives(owner) {
    const { res } = this
    this.res = null
    this.origin = placeOfCode(this.trace, owner.handler)
    this.trace = null
    const { source } = this
    this.source = null
    if (!res.writableFinished) checkLater(source, this.origin, owner.title)
  }
}

/**
 * The listeners of a source often refer to the request, so the reference is weak. A source that is collected while it
 * is open leaks its descriptor.
 */
function checkLater(source, origin, title) {
  const left = { source: new WeakRef(source), done: false, what: describe(source), origin, title }
  const done = () => {
    left.done = true
  }
  source.once('end', done).once('close', done)
  outside(() => setTimeout(check, GRACE_MS, left).unref())
}

function describe(source) {
  return source instanceof fs.ReadStream ? 'a file' : 'an upstream response'
}

const check = internalErrors.guarded('when a stream was checked', ({ source, done, what, origin, title }) => {
  const open = source.deref()
  // A source that is piped to another destination too continues.
  if (done || (open !== undefined && (isDone(open) || pipesOf(open) > 0))) return
  report(title, origin, what)
})

function isDone(source) {
  return isClosed(source) || source.readableEnded
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
    momentary: true,
    route: title,
    origin: origin ?? undefined,
    severity: 'warning',
    perThousand: owners.perThousand(times, title),
    advice:
      `${what} piped into the response stays open after the client disconnects. ` +
      'Use req.scope.pipe(source, res), or stream.pipeline'
  })
}

function start() {
  if (started) return
  started = true
  owners.start()
  owners.onRequestStart(owner => {
    const { res } = owner.state
    res.on('pipe', source => {
      try {
        if (owner.state === null || !(source instanceof fs.ReadStream || source instanceof IncomingMessage)) return
        if (source !== owner.state.req) owner.hold(new Piped(source, res, origins.take()))
      } catch (error) {
        internalErrors.report('when a stream was piped', error)
      }
    })
  })
}

module.exports = { start }
