'use strict'

/*
 * Intervals and long time-outs that the code of a request sets and that are still armed after its end. Each retains
 * what its function closes over, often the request.
 *
 * Node has no hook for timers, so the two functions that create them are wrapped, once and only if this is requested. A
 * timer that outlives its request is referenced weakly. It is checked again when there are more of them.
 */

const { syncBuiltinESMExports } = require('node:module')
const timers = require('node:timers')
const { promisify } = require('node:util')
const origins = require('../core/call-site.js')
const { placeOfCode } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const { Tallies } = require('./growth-tally.js')
const owners = require('./request-owner.js')

/** Shorter time-outs do not matter, even if they outlive their request. */
const LONG_MS = 30_000
const ENOUGH = 30
/** Timers of one call site that are checked again. Further ones are only counted. */
const KEPT = 1024

const intervals = new Tallies(
  'timer',
  ENOUGH,
  ({ open }) => ({
    severity: 'warning',
    what: 'intervals of ended requests',
    advice:
      `${open} intervals that requests set are still armed after their end. ` +
      'Clear each: req.scope.use(setInterval(…)), or use one interval for all. Each retains what its function refers to'
  }),
  { recount: look }
)
const timeouts = new Tallies(
  'timer',
  ENOUGH,
  ({ open }) => ({
    severity: 'info',
    what: 'long time-outs of ended requests',
    advice:
      `${open} time-outs of ${LONG_MS / 1000} s or longer that requests set are still armed after their end. ` +
      'Clear each when it is no longer needed: req.scope.use(setTimeout(…))'
  }),
  { recount: look }
)
/** Tally -> weak references to the timers that were armed at the last check. */
const armed = new WeakMap()
let started = false

class Armed {
  constructor(timer, tallies, trace) {
    this.timer = timer
    this.tallies = tallies
    this.trace = trace
  }

  /** Node's own mark on every timer, since version 11: cleared, or fired for the last time. */
  get done() {
    return this.timer._destroyed === true
  }

  outlives(owner) {
    const tally = this.tallies.of(owner.title, placeOfCode(this.trace, owner.handler))
    this.trace = null
    if (tally === null) return
    const refs = armed.get(tally) ?? { list: [], added: 0, lookAt: ENOUGH }
    armed.set(tally, refs)
    if (refs.list.length < KEPT) refs.list.push(new WeakRef(this.timer))
    tally.more()
    refs.added += 1
    if (refs.added >= refs.lookAt) look(tally)
  }
}

/** Subtracts the timers that were cleared since, and the same share of those that are only counted. */
function look(tally) {
  const refs = armed.get(tally)
  const still = refs.list.filter(ref => ref.deref()?._destroyed === false)
  const share = 1 - still.length / Math.max(1, refs.list.length)
  tally.less(Math.round(share * tally.open))
  refs.list = still
  refs.added = 0
  refs.lookAt = Math.max(ENOUGH, Math.ceil(still.length * 0.1))
}

function start() {
  if (started) return
  started = true
  owners.start()
  wrap('setInterval', () => intervals)
  wrap('setTimeout', after => (after >= LONG_MS ? timeouts : null))
  syncBuiltinESMExports()
}

function wrap(name, talliesOf) {
  const original = timers[name]
  const wrapped = {
    [name](work, after, ...args) {
      const timer = original(work, after, ...args)
      const tallies = talliesOf(after)
      if (tallies === null) return timer
      try {
        const owner = owners.current()
        if (owner !== undefined) owner.hold(new Armed(timer, tallies, origins.take(wrapped)))
      } catch (error) {
        internalErrors.report('when a timer was made', error)
      }
      return timer
    }
  }[name]
  const custom = original[promisify.custom]
  if (custom !== undefined) Object.defineProperty(wrapped, promisify.custom, { value: custom, enumerable: true })
  timers[name] = wrapped
  // Replacements that are already installed, such as fake timers, stay.
  if (globalThis[name] === original) globalThis[name] = wrapped
}

module.exports = { start }
