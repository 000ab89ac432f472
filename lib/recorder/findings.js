'use strict'

/*
 * What plimsoll has evidence of: it goes into the record, from where stats(), metrics() and `show` have it. Who listens hears of each
 * once, when it is new. Without a binary there is no record: then they are kept here, as many as it would hold.
 */

const channels = require('../core/diagnostics.js')
const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')

/** As many as the record has room for beside leaks (FINDINGS_MAX less LEAKS_MAX in src/recorder/layout.rs). */
const KEPT = 112
const EVENTS = ['finding']
/** Of a message, where it says nothing of them. */
const UNSAID = {
  route: null,
  origin: null,
  perThousand: null,
  withdrawnAt: null,
  bytesPerRequest: null,
  low: null,
  high: null,
  p: null,
  class: null,
  path: null
}

const listeners = new Set()
/** Without a binary. */
const kept = new Map()
/** Takes a finding as `find` does; whether it is new. */
let sink = keep

/**
 * `finding`: `{ kind, route?, origin?, severity, perThousand?, advice }`, the first three of which name it; `times` that it was seen
 * more.
 */
function find(finding, times = 1) {
  try {
    if (!sink(finding, times)) return
    if (!channels.finding.hasSubscribers && listeners.size === 0) return
    const now = Date.now()
    const seen = { count: times, firstSeen: now, lastSeen: now }
    const message = { ...UNSAID, ...defined(finding), ...seen }
    tell(message)
    if (channels.finding.hasSubscribers) channels.finding.publish(message)
  } catch (error) {
    internalErrors.report('when a finding was recorded', error)
  }
}

/** From here on findings go into the record, by way of `record(finding, times)`, which says whether one is new. */
function connect(record) {
  sink = record
}

function keep(finding, times) {
  const key = [finding.kind, finding.route, finding.origin].join('\0')
  const known = kept.get(key)
  const now = Date.now()
  if (known !== undefined) {
    Object.assign(known, defined(finding), { count: known.count + times, lastSeen: now })
    return false
  }
  if (kept.size >= KEPT) return false
  const seen = { count: times, firstSeen: now, lastSeen: now }
  kept.set(key, { ...UNSAID, ...defined(finding), ...seen })
  return true
}

function defined(finding) {
  return Object.fromEntries(Object.entries(finding).filter(([, value]) => value !== undefined))
}

/** To those who listen here; the channel's own subscribers hear of it there. */
function tell(message) {
  for (const listener of listeners) {
    try {
      listener(message)
    } catch (error) {
      internalErrors.report("in a listener of 'finding'", error)
    }
  }
}

/** Calls `listener(finding)` with each finding when it is new, and of kind `leak` with each that has stopped (`withdrawnAt`). */
function on(event, listener) {
  check('on()', event, listener)
  listeners.add(listener)
}

/** Takes back what `on` was told. */
function off(event, listener) {
  check('off()', event, listener)
  listeners.delete(listener)
}

function check(where, event, listener) {
  options.oneOf(`${where}'s event`, event, EVENTS)
  if (typeof listener !== 'function') options.fail(`${where}'s listener`, listener, 'a function')
}

/** What was found without a binary. */
function withoutBinary() {
  return [...kept.values()].map(finding => ({ ...finding }))
}

module.exports = { find, connect, tell, on, off, withoutBinary }
