'use strict'

/*
 * Which requests open files and do not close them? When the number of open descriptors grows, `fs.open` and `fs.close` are
 * wrapped for some seconds, and each request is known in its async context for that time. Of the files that were opened
 * then and are still open some seconds later, the route and the call site are reported.
 *
 * Files that are opened by other means (native code, `fs.promises`, a module that has its own copy of `fs.open`) are not
 * seen. Nothing is wrapped outside of such a session.
 */

const { AsyncLocalStorage } = require('node:async_hooks')
const channel = require('node:diagnostics_channel')
const fs = require('node:fs')
const { native } = require('../core/addon.js')
const origins = require('../core/call-site.js')
const { placeOfCode } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const { outside } = require('../core/outside-requests.js')
const routes = require('../express/route-tracker.js')
const clients = require('../recorder/clients.js')
const { begin } = require('../request/lifecycle.js')

const COUNT_MS = 5_000
const TRACE_MS = 20_000
/** Time for files to be closed after the session. */
const GRACE_MS = 10_000
/** Files that are watched at a time. */
const FILES = 1024
/** Files that must have stayed open, and the share of them that one route or call site must have. */
const ENOUGH = 5
const MOST = 0.6
const WRAPPED = ['open', 'openSync', 'close', 'closeSync', 'createReadStream', 'createWriteStream']

/** The session, or null. */
let session = null
let countAt = 0

/** Call this on each tick. Counts what requests may forget to close, and starts a session when it is due. */
function tick() {
  const now = performance.now()
  if (now < countAt) return
  countAt = now + COUNT_MS
  const active = { Timeout: 0, Worker: 0, ProcessWrap: 0 }
  for (const name of process.getActiveResourcesInfo()) if (name in active) active[name] += 1
  const due = native.resources({
    clients: clients.open(),
    timers: active.Timeout,
    workers: active.Worker,
    children: active.ProcessWrap
  })
  if (due && session === null) {
    session = new Session()
    session.start()
  }
}

/** One file that was opened in a session. */
class Opened {
  constructor(request, trace) {
    this.request = request
    this.trace = trace
  }
}

class Session {
  constructor() {
    /** Descriptor -> Opened. */
    this.files = new Map()
    this.requests = new AsyncLocalStorage()
    this.originals = {}
    this.wrappers = {}
    this.onRequest = this.onRequest.bind(this)
    this.opening = true
  }

  start() {
    for (const name of WRAPPED) this.originals[name] = fs[name]
    const session = this
    const { open, openSync, close, closeSync } = this.originals
    this.wrappers = {
      open(...args) {
        const callback = args.at(-1)
        const opened = typeof callback === 'function' ? session.opened(session.wrappers.open) : null
        if (opened !== null)
          args[args.length - 1] = function (error, fd) {
            if (!error) session.add(fd, opened)
            return Reflect.apply(callback, this, arguments)
          }
        return Reflect.apply(open, this, args)
      },
      openSync(...args) {
        const fd = Reflect.apply(openSync, this, args)
        const opened = session.opened(session.wrappers.openSync)
        if (opened !== null) session.add(fd, opened)
        return fd
      },
      close(...args) {
        session.files.delete(args[0])
        return Reflect.apply(close, this, args)
      },
      closeSync(...args) {
        session.files.delete(args[0])
        return Reflect.apply(closeSync, this, args)
      }
    }
    // A stream opens its file in the next tick, when the app's code is no longer on the stack.
    for (const name of ['createReadStream', 'createWriteStream']) this.wrappers[name] = this.locating(name)
    for (const name of WRAPPED) fs[name] = this.wrappers[name]
    channel.subscribe('http.server.request.start', this.onRequest)
    const later = (ms, work) =>
      outside(() => setTimeout(internalErrors.guarded('when open files were traced', work), ms).unref())
    later(TRACE_MS, () => {
      this.opening = false
      channel.unsubscribe('http.server.request.start', this.onRequest)
      later(GRACE_MS, () => this.end())
    })
  }

  onRequest({ request, response }) {
    try {
      const state = begin(request, response)
      if (state === null) return
      routes.observe(state)
      const known = { opens: false, title: undefined, place: null }
      state.atEnd((_req, _res, ended) => {
        if (!known.opens) return
        known.title = routes.titleOf(ended)
        // Not the function itself, which may have been made for the request.
        known.place = placeOfCode(null, routes.handlerOf(ended))
      })
      this.requests.enterWith({ request: known, trace: null })
    } catch (error) {
      internalErrors.report('when open files were traced', error)
    }
  }

  /** Runs a function of `fs` with the place of its caller in the context. */
  locating(name) {
    const { originals, requests } = this
    const locating = (...args) => {
      const work = () => Reflect.apply(originals[name], fs, args)
      const context = requests.getStore()
      return context === undefined
        ? work()
        : requests.run({ request: context.request, trace: origins.take(locating) }, work)
    }
    return locating
  }

  /** A file is being opened. Null if it is not watched. */
  opened(above) {
    try {
      const context = this.opening && this.files.size < FILES ? this.requests.getStore() : undefined
      if (context === undefined) return null
      context.request.opens = true
      return new Opened(context.request, context.trace ?? origins.take(above))
    } catch (error) {
      internalErrors.report('when open files were traced', error)
      return null
    }
  }

  add(fd, opened) {
    if (this.files.size < FILES) this.files.set(fd, opened)
  }

  end() {
    session = null
    this.requests.disable()
    // What other code has wrapped in the meantime stays: our wrapper only passes calls on from now on.
    for (const name of WRAPPED) if (fs[name] === this.wrappers[name]) fs[name] = this.originals[name]
    const left = [...this.files.values()]
    this.files.clear()
    const titles = new Map()
    const places = new Map()
    for (const { request, trace } of left) {
      count(titles, request.title)
      const { app, module } = origins.nearest(trace)
      count(places, app ?? request.place ?? module)
    }
    const route = most(titles, left.length)
    const origin = most(places, left.length)
    const isKnown = left.length >= ENOUGH && (route !== undefined || origin !== undefined)
    native.filesTraced(isKnown ? { route, origin } : null)
  }
}

function count(map, key) {
  if (key !== undefined && key !== null) map.set(key, (map.get(key) ?? 0) + 1)
}

/** The key with most of them. Undefined if there is none. */
function most(map, of) {
  return [...map].find(([, number]) => number >= MOST * of)?.[0]
}

module.exports = { tick }
