'use strict'

/*
 * The owner of what begins in the code of a request, also after promises and callbacks: a taken connection, a timer, a
 * listener. While a watcher is on, each request has an owner in an AsyncLocalStorage. An async context may live as long
 * as the process (for example, that of a pool's connection), so the owner releases the request at its end.
 *
 * The context is entered on `http.server.request.start`, before Express. So watchers work without a middleware, and in
 * any order. The cost is that of an AsyncLocalStorage, up to Node 22 a little for each promise. Without a watcher there
 * is none.
 */

const { AsyncLocalStorage } = require('node:async_hooks')
const channel = require('node:diagnostics_channel')
const internalErrors = require('../core/internal-errors.js')
const routes = require('../express/route-tracker.js')
const { begin, trackServers } = require('../request/lifecycle.js')

/** Routes whose requests are counted. Findings of other routes have no rate. */
const ROUTES = 1024
/** Length of the list from which on things that are done are removed. */
const TIDY_FROM = 32

const storage = new AsyncLocalStorage()
const counts = new Map()
/** Called at the start and at the end of each request. */
const startListeners = []
const endListeners = []
let started = false

/**
 * What a request has begun and should end. Each thing has `done`, and `outlives(owner)`, which is called if it is still
 * there after the end.
 */
class Owner {
  constructor(state) {
    /** Null after the end of the request. */
    this.state = state
    /** Set at the end of the request. */
    this.title = undefined
    this.things = null
    /** Set if the request is sampled for large properties (large-properties.js). */
    this.sample = null
    /** Whether the request is watched after its end (retained-requests.js). */
    this.watched = false
    /** The app's function that had the request last, from its end until what outlives it is attributed. */
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

/** The owner of the running code. Undefined outside of requests, and after their end. */
function current() {
  const owner = storage.getStore()
  return owner === undefined || owner.state === null ? undefined : owner
}

/** Runs a callback in the context of an owner. Pools call back in another one. */
function within(owner, work) {
  return storage.run(owner, work)
}

/** Gives each request an owner from now on. */
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

/** For requests that are published on no channel (HTTP/2). Call it from a middleware. */
function enter(state) {
  if (started && state.owner === null) storage.enterWith(ownerOf(state.req, state.res))
}

/** The owner of a request, created if needed. Undefined after the end of the request. */
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
    // The app's own listeners of the end run after this one, and may clean up.
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

/** Number of ended requests of a route since `start`. */
function requestsOf(title) {
  return counts.get(title) ?? 0
}

/** `number` per thousand requests of that route, as findings have it. Undefined if the requests are not counted. */
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
