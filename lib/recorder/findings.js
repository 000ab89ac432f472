'use strict'

/*
 * Findings: problems that Plimsoll has evidence of. They go into the record, from which stats(), metrics() and `show`
 * read them. Listeners receive each once, when it is new. Without a binary there is no record, and they are stored
 * here, up to the record's number.
 */

const channels = require('../core/diagnostics.js')
const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')

/** The record's room for findings other than leaks (FINDINGS_MAX less LEAKS_MAX in src/recorder/layout.rs). */
const KEPT = 112
const EVENTS = ['finding']
/** Defaults of a message's properties. */
const UNSAID = {
  route: null,
  origin: null,
  perThousand: null,
  withdrawnAt: null,
  bytesPerRequest: null,
  low: null,
  high: null,
  p: null,
  routes: [],
  holder: null,
  addedBy: null,
  package: null,
  hoursToLimit: null,
  class: null,
  path: null
}

const listeners = new Set()
/** Findings without a binary. */
const kept = new Map()
/**
 * Where findings go. `record(finding, times)` returns whether one is new. `withdraw(finding)` returns what is known of it,
 * or null if there is none.
 */
let sink = { record: keep, withdraw: withdrawKept }

/**
 * `finding`: `{ kind, route?, origin?, severity, perThousand?, advice, momentary? }`. The first three identify it.
 * `momentary`: it counts occurrences, of which nothing remains. It is withdrawn once there are no more. `times`: how often
 * it was seen in addition.
 */
function find(finding, times = 1) {
  try {
    if (!sink.record(finding, times)) return
    const now = Date.now()
    publish({ ...UNSAID, ...defined(finding), count: times, firstSeen: now, lastSeen: now })
  } catch (error) {
    internalErrors.report('when a finding was recorded', error)
  }
}

/**
 * The cause of a finding is gone, or has stopped. `finding` as for `find`; its advice describes what was wrong. Nothing
 * happens if there is no such finding.
 */
function withdraw(finding) {
  try {
    const message = sink.withdraw(finding)
    if (message !== null) publish({ ...UNSAID, ...message })
  } catch (error) {
    internalErrors.report('when a finding was withdrawn', error)
  }
}

function publish(message) {
  notify(message)
  if (channels.finding.hasSubscribers) channels.finding.publish(message)
}

/** From now on findings go into the record, through functions like those of `sink`. */
function connect(record) {
  sink = record
}

function keep(finding, times) {
  const key = keyOf(finding)
  const known = kept.get(key)
  const now = Date.now()
  if (known !== undefined) {
    const isNew = known.withdrawnAt !== null
    Object.assign(known, defined(finding), { count: known.count + times, lastSeen: now, withdrawnAt: null })
    return isNew
  }
  if (kept.size >= KEPT) return false
  const seen = { count: times, firstSeen: now, lastSeen: now }
  kept.set(key, { ...UNSAID, ...defined(finding), ...seen })
  return true
}

function withdrawKept(finding) {
  const known = kept.get(keyOf(finding))
  if (known === undefined || known.withdrawnAt !== null) return null
  return Object.assign(known, { severity: 'info', advice: finding.advice, withdrawnAt: Date.now() })
}

function keyOf({ kind, route, origin }) {
  return [kind, route, origin].join('\0')
}

function defined({ momentary: _, ...finding }) {
  return Object.fromEntries(Object.entries(finding).filter(([, value]) => value !== undefined))
}

/** Calls the listeners of this module. Subscribers of the channel are called by `announce`. */
function notify(message) {
  for (const listener of listeners) {
    try {
      listener(message)
    } catch (error) {
      internalErrors.report("in a listener of 'finding'", error)
    }
  }
}

/** Calls `listener(finding)` with each new finding, and with each that is withdrawn (`withdrawnAt`). */
function on(event, listener) {
  check('on()', event, listener)
  listeners.add(listener)
}

/** Removes a listener that was added with `on`. */
function off(event, listener) {
  check('off()', event, listener)
  listeners.delete(listener)
}

function check(where, event, listener) {
  options.oneOf(`${where}'s event`, event, EVENTS)
  if (typeof listener !== 'function') options.fail(`${where}'s listener`, listener, 'a function')
}

/** The findings without a binary. */
function withoutBinary() {
  return [...kept.values()].map(finding => ({ ...finding }))
}

module.exports = { find, withdraw, connect, notify, on, off, withoutBinary }
