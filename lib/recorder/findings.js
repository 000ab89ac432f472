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
/** Stores a finding like `find`. Returns whether it is new. */
let sink = keep

/**
 * `finding`: `{ kind, route?, origin?, severity, perThousand?, advice }`. The first three identify it. `times`: how
 * often it was seen in addition.
 */
function find(finding, times = 1) {
  try {
    if (!sink(finding, times)) return
    if (!channels.finding.hasSubscribers && listeners.size === 0) return
    const now = Date.now()
    const seen = { count: times, firstSeen: now, lastSeen: now }
    const message = { ...UNSAID, ...defined(finding), ...seen }
    notify(message)
    if (channels.finding.hasSubscribers) channels.finding.publish(message)
  } catch (error) {
    internalErrors.report('when a finding was recorded', error)
  }
}

/** From now on findings go into the record through `record(finding, times)`, which returns whether one is new. */
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

/**
 * Calls `listener(finding)` with each new finding. For kind `leak` it is also called with each that has stopped
 * (`withdrawnAt`).
 */
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

module.exports = { find, connect, notify, on, off, withoutBinary }
