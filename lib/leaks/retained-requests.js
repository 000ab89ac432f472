'use strict'

/*
 * Requests that are alive long after their end: something still retains them and all that they refer to.
 *
 * A sample of ended requests is watched through native weak handles. These do not retain their objects, not even while
 * they are checked. A request that is alive two major collections and five seconds after its end is checked again from
 * then on.
 *
 * Many things retain a request for a while and then release it: a keep-alive connection, an async context, a time-out, an
 * entry with a time to live. So a request counts only after `PATIENCE_MS`, and after twice the longest time for which
 * another request of its route was retained and then released. What is retained forever grows with requests, and is
 * reported. If requests are released later than that, the finding is withdrawn.
 */

const { native } = require('../core/addon.js')
const origins = require('../core/call-site.js')
const { definitionOf, unwrapped } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')
const { outside } = require('../core/outside-requests.js')
const { find, withdraw } = require('../recorder/findings.js')
const runtime = require('../recorder/recorder.js')
const { Tallies } = require('./growth-tally.js')
const owners = require('./request-owner.js')

const AFTER_MS = 5000
const MAJORS = 2
const LOOK_MS = 1000
const PATIENCE_MS = 15_000
/** While nothing has been released for that long, it is certain enough for `critical`. */
const CERTAIN_MS = 120_000
/** Requests that are waited for at a time, in all and by route. A busy route must not hide the others. */
const WAITING = 256
const WAITING_ROUTE = 32
/** Requests that are checked again, in all and by route and call site. */
const HELD = 512
const HELD_TALLY = 32
const EVERY_MS = 50
const ENOUGH = 10

/** Routes for which the number of judged requests is counted. */
const ROUTES = 1024
const judged = new Map()
const tallies = new Tallies('retained', ENOUGH, messageOf, { requestsOf: judgedOf })

/** `waiting`: watched objects before a verdict. */
const waiting = []
/** Tally -> its Held. */
const held = new Map()
/** Objects of `expectCollected` that were reported. */
const reported = []
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
    if (isFull(title, place)) return
    if (watch(state.req, { title, place })) byRoute.set(title, number + 1)
  })
}

/** `label`: given for an object of `expectCollected`, null for a request. */
function watch(object, { title, place = null, label = null }) {
  if (waiting.length >= WAITING) return false
  const handle = native.weakHold(object)
  if (handle === null) return false
  waiting.push({ handle, title, place, label, at: performance.now(), majors: native.majorCollections() })
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
    if (!there) native.weakDrop(entry.handle)
    else if (entry.label === null) hold(entry)
    else expected(entry)
    return false
  })
  for (const each of held.values()) each.look(now)
  sift(reported, ({ handle, finding }) => {
    if (native.weakAlive(handle)) return true
    native.weakDrop(handle)
    withdraw({ ...finding, advice: `it was collected later: ${finding.advice}` })
    return false
  })
  const isIdle = [...held.values()].every(({ entries }) => entries.length === 0)
  if (waiting.length + reported.length > 0 || !isIdle) return
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

/** The requests of one route and call site that were alive when they were judged. */
class Held {
  constructor(tally) {
    this.tally = tally
    /** `handle`, `at`, `judged` (the number of judged requests at its verdict) and `counted`. The oldest first. */
    this.entries = []
    /** The longest time for which one was retained and then released. */
    this.releasedMs = 0
    this.certain = false
  }

  get patienceMs() {
    return Math.max(PATIENCE_MS, 2 * this.releasedMs)
  }

  get oldestMs() {
    return this.entries.length === 0 ? 0 : performance.now() - this.entries[0].at
  }

  look(now) {
    const { tally } = this
    let gone = 0
    sift(this.entries, entry => {
      if (native.weakAlive(entry.handle)) return true
      native.weakDrop(entry.handle)
      this.releasedMs = Math.max(this.releasedMs, now - entry.at)
      if (entry.counted) gone += 1
      return false
    })
    const due = now - this.patienceMs
    for (const entry of this.entries) {
      // What was counted too early, since others have been released after as long.
      if (entry.counted && entry.at > due) {
        entry.counted = false
        gone += 1
      }
    }
    const before = tally.reported
    if (gone > 0) tally.less(gone)
    // From now on others must be retained for longer.
    if (before > 0 && tally.reported === 0) this.withdrawn()
    for (const entry of this.entries) {
      if (entry.counted || entry.at > due) continue
      entry.counted = true
      tally.more(entry.judged)
    }
    if (!this.certain && tally.reported > 0 && this.isCertain()) {
      this.certain = true
      tally.report()
    }
    // More are not watched, so they cannot be counted.
    if (this.entries.length >= HELD_TALLY) tally.mayGrow()
  }

  withdrawn() {
    this.certain = false
    this.tally.renew(ENOUGH)
  }

  isCertain() {
    return this.oldestMs >= Math.max(CERTAIN_MS, this.patienceMs)
  }

  drop(entry) {
    native.weakDrop(entry.handle)
    if (entry.counted) this.tally.less()
  }
}

/** Whether as many requests of this route and call site are retained as are checked. */
function isFull(title, place) {
  return held.get(tallies.known(title, place))?.entries.length >= HELD_TALLY
}

/** The request was alive when it was judged. */
function hold({ handle, title, place, at }) {
  const tally = tallies.of(title, place)
  if (tally === null) return native.weakDrop(handle)
  let all = held.get(tally)
  if (all === undefined) {
    if (held.size >= ROUTES) tidy()
    all = new Held(tally)
    held.set(tally, all)
  }
  if (all.entries.length >= HELD_TALLY) return native.weakDrop(handle)
  makeRoom()
  all.entries.push({ handle, at, judged: judgedOf(title), counted: false })
}

function tidy() {
  for (const [tally, { entries }] of held) if (entries.length === 0) held.delete(tally)
}

/** At the bound, the newest of those that have the most gives way. */
function makeRoom() {
  let number = 0
  let most = null
  for (const each of held.values()) {
    number += each.entries.length
    if (most === null || each.entries.length > most.entries.length) most = each
  }
  if (number >= HELD) most.drop(most.entries.pop())
}

function messageOf(tally) {
  const { open, title } = tally
  const { oldestMs, releasedMs, certain } = held.get(tally) ?? { oldestMs: 0, releasedMs: 0, certain: false }
  const seconds = Math.round(oldestMs / 1000)
  return {
    severity: certain ? 'critical' : 'warning',
    what: `requests were alive after their end${releasedMs > 0 ? `, for up to ${Math.round(releasedMs / 1000)} s, and were released then (a time-out, or a time to live)` : ''}`,
    advice:
      `requests are alive after their end: of ${judgedOf(title)} sampled requests, ${open} are alive, the oldest for ${seconds} s. ` +
      'Search from the handler on for what retains req or res: a closure, a list, a Map or a listener'
  }
}

function expected({ handle, place, label, at }) {
  const seconds = Math.round((performance.now() - at) / 1000)
  const advice = `${label} was expected to be collected, but is alive after two major collections and ${seconds} s: something still retains it`
  const finding = { kind: 'retained', origin: place ?? undefined, severity: 'warning', advice }
  find(finding)
  if (reported.length < WAITING) reported.push({ handle, finding })
  else native.weakDrop(handle)
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
