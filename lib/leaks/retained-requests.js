'use strict'

/*
 * Requests that are alive after their end: something still retains them and all that they refer to.
 *
 * A sample of ended requests is watched through native weak handles. These do not retain their objects, not even while
 * they are checked. A request counts as retained if it is alive two major collections and five seconds after its end.
 * Keep-alive connections and async contexts retain the last request for a while. It is reported when it grows with
 * requests.
 */

const { native } = require('../core/addon.js')
const origins = require('../core/call-site.js')
const { definitionOf, unwrapped } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')
const { outside } = require('../core/outside-requests.js')
const { find } = require('../recorder/findings.js')
const runtime = require('../recorder/recorder.js')
const { Tallies } = require('./growth-tally.js')
const owners = require('./request-owner.js')

const AFTER_MS = 5000
const MAJORS = 2
const LOOK_MS = 1000
/** Requests that are waited for at a time, in all and by route. A busy route must not hide the others. */
const WAITING = 256
const WAITING_ROUTE = 32
/** Retained requests that are checked again, in case they are collected later. */
const KEPT = 256
const EVERY_MS = 50
const ENOUGH = 10

const messageOf = ({ open, title }) => ({
  severity: 'critical',
  advice:
    `requests are alive after their end: of ${judgedOf(title)} sampled requests, ${open} were alive two major collections later. ` +
    'Search from the handler on for what retains req or res: a closure, a list, a Map or a listener'
})
/** Routes for which the number of judged requests is counted. */
const ROUTES = 1024
const judged = new Map()
const tallies = new Tallies('retained', ENOUGH, messageOf, judgedOf)

/** `waiting`: watched objects before a verdict. `kept`: those that are retained. */
const waiting = []
const kept = []
const byRoute = new Map()
let timer = null
let last = 0
let started = false

/** Watches a sample of requests from now on. */
function start() {
  if (started || native === null) return
  started = true
  owners.start()
  owners.onRequestStart(owner => {
    const now = performance.now()
    if (now - last < EVERY_MS || waiting.length >= WAITING) return
    last = now
    owner.watched = true
  })
  owners.onRequestEnd(owner => {
    if (!owner.watched) return
    // The function that had the request last is the nearest to what retains it.
    const { title, handler, state } = owner
    const number = byRoute.get(title) ?? 0
    if (number >= WAITING_ROUTE) return
    // Only its location is stored: a function that was made for the request would retain it.
    const place = handler === null ? null : definitionOf(unwrapped(handler)) || null
    if (watch(state.req, { title, place })) byRoute.set(title, number + 1)
  })
}

/** `label`: given for an object of `expectCollected`, null for a request. */
function watch(object, { title, place = null, label = null }) {
  if (waiting.length >= WAITING) return false
  const handle = native.weakHold(object)
  if (handle === null) return false
  waiting.push({ handle, title, place, label, at: performance.now(), majors: native.majorCollections(), tally: null })
  timer ??= outside(() =>
    setInterval(internalErrors.guarded('when ended requests were checked', judgeAll), LOOK_MS).unref()
  )
  return true
}

function judgeAll() {
  const now = performance.now()
  const majors = native.majorCollections()
  sift(waiting, entry => {
    const there = native.weakAlive(entry.handle)
    if (there && (majors < entry.majors + MAJORS || now < entry.at + AFTER_MS)) return true
    if (entry.label === null) judge(entry.title)
    if (there) return retained(entry)
    native.weakDrop(entry.handle)
    return false
  })
  sift(kept, entry => {
    if (native.weakAlive(entry.handle)) return true
    native.weakDrop(entry.handle)
    entry.tally?.less()
    return false
  })
  if (waiting.length + kept.length > 0) return
  clearInterval(timer)
  timer = null
}

/** Filters a list in place. */
function sift(list, keep) {
  let to = 0
  for (const entry of list) if (keep(entry)) list[to++] = entry
  list.length = to
}

function judgedOf(title) {
  return judged.get(title) ?? 0
}

function judge(title) {
  if (judged.has(title) || judged.size < ROUTES) judged.set(title, judgedOf(title) + 1)
  const number = byRoute.get(title) - 1
  if (number === 0) byRoute.delete(title)
  else byRoute.set(title, number)
}

/** Moves an entry from `waiting` to `kept`. Returns whether it stays in `waiting`. */
function retained(entry) {
  if (entry.label !== null) {
    expected(entry)
    native.weakDrop(entry.handle)
    return false
  }
  entry.tally = tallies.of(entry.title, entry.place)
  entry.tally?.more()
  if (kept.length >= KEPT) native.weakDrop(kept.shift().handle)
  kept.push(entry)
  return false
}

function expected({ place, label, at }) {
  const seconds = Math.round((performance.now() - at) / 1000)
  const advice = `${label} was expected to be collected, but is alive after two major collections and ${seconds} s: something still retains it`
  find({ kind: 'retained', origin: place ?? undefined, severity: 'warning', advice })
}

/** Declares that nothing should retain `object` any more. It is reported if it is alive two major collections later. */
function expectCollected(object, label) {
  const where = 'expectCollected()'
  if ((typeof object !== 'object' || object === null) && typeof object !== 'function')
    options.fail(`${where}'s object`, object, 'an object or a function')
  options.string(`${where}'s label`, label, 64)
  // Collections are counted only while the recorder is on.
  if (runtime.start()) watch(object, { place: origins.caller(), label })
}

module.exports = { start, expectCollected }
