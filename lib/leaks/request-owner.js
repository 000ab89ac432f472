'use strict'

/*
 * The owner of what begins somewhere in the code of a request, also behind promises and callbacks: a connection that is taken, a
 * timer, a listener. While a watcher is on, each request has an owner in an AsyncLocalStorage. A context may outlive its request for
 * as long as the process (a pool's connection that was opened in it), so the owner releases the request at its end.
 *
 * It is entered on `http.server.request.start`, before Express: watchers work without a middleware, and in any order. The cost is
 * Node's own for a storage (up to Node 22, a little at each promise). It is only there while a watcher is on.
 */

const { AsyncLocalStorage } = require('node:async_hooks')
const channel = require('node:diagnostics_channel')
const internalErrors = require('../core/internal-errors.js')
const routes = require('../express/route-tracker.js')
const { begin, trackServers } = require('../request/lifecycle.js')

/** Requests are counted for so many routes; of the others there is no rate. */
const ROUTES = 1024
/** What is done with before its request is over is thrown out from this many on. */
const TIDY_FROM = 32

const storage = new AsyncLocalStorage()
const counts = new Map()
/** Called at the start and at the end of each request. */
const startListeners = []
const endListeners = []
let started = false

/** What a request has begun, and must see the end of: each thing has `done`, and `outlives(owner)`, called where it does. */
class Owner {
  constructor(state) {
    /** Null once the request is over. */
    this.state = state
    /** Known once it is over. */
    this.title = undefined
    this.things = null
    /** Of a request whose large properties are reported (large-properties.js). */
    this.sample = null
    /** Whether it is watched after its end (retained-requests.js). */
    this.watched = false
    /** The function of the app that had the request last, from its end until what outlives it has been named. */
    this.handler = null
    this.tidyAt = TIDY_FROM
  }

  hold(thing) {
    if (this.things === null) this.things = [thing]
    else if (this.things.push(thing) >= this.tidyAt) {
      this.things = this.things.filter(({ done }) => !done)
      this.tidyAt = Math.max(TIDY_FROM, 2 * this.things.length)
    }
  }
}

/** The owner of the code that runs; undefined outside of requests, and behind their end. */
function current() {
  const owner = storage.getStore()
  return owner === undefined || owner.state === null ? undefined : owner
}

/** Runs a callback in the context of an owner, as pools that are handed callbacks do not. */
function within(owner, work) {
  return storage.run(owner, work)
}

/** From here on each request has an owner. */
function start() {
  if (started) return
  started = true
  trackServers()
  channel.subscribe('http.server.request.start', ({ request, response }) => {
    try {
      storage.enterWith(ownerOf(request, response))
    } catch (error) {
      internalErrors.report('when a request was received', error)
    }
  })
}

/** For requests that begin on no channel (HTTP/2): from a middleware, what comes behind it is theirs. */
function enter(state) {
  if (started && state.owner === null) storage.enterWith(ownerOf(state.req, state.res))
}

/** The owner of a request, made if need be; undefined for one that is over. */
function ownerOf(req, res) {
  const state = begin(req, res)
  if (state === null) return undefined
  if (state.owner === null) {
    state.owner = new Owner(state)
    state.atEnd(onEnd)
    routes.observe(state)
    for (const listener of startListeners) listener(state.owner)
  }
  return state.owner
}

function onEnd(_req, _res, state) {
  const { owner } = state
  const title = routes.titleOf(state)
  owner.title = title
  owner.handler = routes.handlerOf(state)
  count(title)
  try {
    for (const listener of endListeners) listener(owner)
  } finally {
    owner.state = null
    const { things } = owner
    owner.things = null
    // The app's own listeners of the end come behind this one: they may clean up yet.
    if (things?.some(({ done }) => !done)) setImmediate(outlive, things, owner)
    else owner.handler = null
  }
}

function outlive(things, owner) {
  for (const thing of things) {
    try {
      if (!thing.done) thing.outlives(owner)
    } catch (error) {
      internalErrors.report('when something outlived its request', error)
    }
  }
  owner.handler = null
}

function count(title) {
  const known = counts.get(title)
  if (known !== undefined) counts.set(title, known + 1)
  else if (counts.size < ROUTES) counts.set(title, 1)
}

/** How many requests of a route have ended since there are owners. */
function requestsOf(title) {
  return counts.get(title) ?? 0
}

/** As findings have it: `number` of a thousand requests of that route; undefined where that is not known. */
function perThousand(number, title) {
  const requests = requestsOf(title)
  return requests === 0 ? undefined : Math.min(1e6, (1000 * number) / requests)
}

/** Calls `listener(owner)` at the start of each request. */
function onRequestStart(listener) {
  startListeners.push(listener)
}

/** Calls `listener(owner)` at the end of each request, before its state is released. */
function onRequestEnd(listener) {
  endListeners.push(listener)
}

module.exports = { start, enter, current, within, requestsOf, perThousand, onRequestStart, onRequestEnd }
