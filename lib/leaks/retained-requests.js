'use strict'

/*
 * Requests that live on behind their end: something still holds them, and with them all that hangs on them.
 *
 * A sample of ended requests is watched through native weak handles, which do not keep what they watch, not even while they look.
 * Retained is what is alive two major collections and five seconds behind its end: keep-alive connections and async contexts hold
 * the last request for a while. It is a finding when it grows with requests.
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
/** So many are waited for at a time, and of one route so many: a busy route must not hide the others. */
const WAITING = 256
const WAITING_ROUTE = 32
/** So many that are retained are looked at again, in case they go after all. */
const KEPT = 256
const EVERY_MS = 50
const ENOUGH = 10

const tell = ({ open, title }) => ({
  severity: 'critical',
  advice:
    `requests are alive after their end: of ${judgedOf(title)} sampled requests, ${open} were alive two major collections later. ` +
    'Search from the handler on for what retains req or res: a closure, a list, a Map or a listener'
})
/** Routes of which it is known how many have been watched to the verdict. */
const ROUTES = 1024
const judged = new Map()
const tallies = new Tallies('retained', ENOUGH, tell, judgedOf)

/** A watched object until there is a verdict; then those that are retained. */
const waiting = []
const kept = []
const byRoute = new Map()
let timer = null
let last = 0
let started = false

/** From here on a sample of requests is watched. */
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
    // The function that had it last is the nearest to what holds it.
    const { title, handler, state } = owner
    const number = byRoute.get(title) ?? 0
    if (number >= WAITING_ROUTE) return
    // A function that was made for the request would keep it.
    const place = handler === null ? null : definitionOf(unwrapped(handler)) || null
    if (watch(state.req, { title, place })) byRoute.set(title, number + 1)
  })
}

/** `label`: of what a user expects to go; else it is a request. */
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

/** Keeps what `keep` says yes to, in place. */
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

/** Goes from one list to the other. */
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

/** Says that nothing should hold `object` any more: it is a finding if it is still there two major collections later. */
function expectCollected(object, label) {
  const where = 'expectCollected()'
  if ((typeof object !== 'object' || object === null) && typeof object !== 'function')
    options.fail(`${where}'s object`, object, 'an object or a function')
  options.string(`${where}'s label`, label, 64)
  // Collections are counted from the start on.
  if (runtime.start()) watch(object, { place: origins.caller(), label })
}

module.exports = { start, expectCollected }
