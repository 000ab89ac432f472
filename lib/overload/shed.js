'use strict'

const refuse = require('../body/refuse.js')
const { announcedLength } = require('../body/tap.js')
const { native } = require('../core/addon.js')
const channels = require('../core/diagnostics.js')
const { overloaded } = require('../core/errors.js')
const hook = require('../core/hook.js')
const internalErrors = require('../core/internal-errors.js')
const options = require('../core/options.js')
const { routeOf } = require('../express/route-tracker.js')
const runtime = require('../recorder/recorder.js')
const { stateOf } = require('../request/lifecycle.js')

const EXEMPT = ['/healthz', '/livez', '/readyz', '/health', '/metrics']
const PRIORITIES = ['low', 'normal', 'high']
/**
 * Levels from here on count as full. The few requests that are then admitted, of any priority, test whether the
 * pressure has fallen.
 */
const FULL = 0.98
const MARKS = { heap: [0.75, 0.85], rss: [0.85, 0.95], delayMs: [250, 1000], native: false }
/** The largest valid marks. Larger ones would never be reached. */
const GREATEST = { heap: 2, rss: 2, delayMs: 3_600_000, native: Number.MAX_SAFE_INTEGER }
const OPTIONS = [...Object.keys(MARKS), 'exempt', 'priority', 'retryAfterS', 'report']

/** The guards of all `shed()`s that refuse. `ready()` reads them. */
const guards = new Set()

/**
 * Middleware that refuses new requests with 503 while the process is under pressure. The closer it is to its limits,
 * the more requests are refused.
 */
function shed(given) {
  const settings = settingsOf(given)
  if (!runtime.start()) {
    return function plimsollShed(_req, _res, next) {
      next()
    }
  }
  const guard = native.guard(settings.policy)
  if (!settings.report) guards.add(guard)

  return function plimsollShed(req, res, next) {
    const error = refusalOf(req, guard, settings)
    if (error === null) return next()
    if (announcedLength(req)) refuse.before(req, res, next, error)
    else next(error)
  }
}

/** The error with which a request is refused, or null. If the pressure cannot be determined, the request passes. */
function refusalOf(req, guard, settings) {
  try {
    const level = native.level(guard)
    if (level === 0 || settings.isExempt(req)) return null
    const priority = settings.priorityOf(req)
    if (Math.random() >= chance(level, priority)) return null
    const [from, to] = settings.retryAfterS
    const retryAfterS = from + Math.floor(Math.random() * (to - from + 1))
    note(req, guard, { priority, level, retryAfterS, reported: settings.report })
    // Near V8's limit, listeners must be called now, not at the next tick.
    if (level === 1) runtime.announce()
    return settings.report ? null : overloaded({ retryAfterS, priority })
  } catch (error) {
    internalErrors.report('when a request was to be refused under pressure', error)
    return null
  }
}

/**
 * The probability that a request is refused. For low priority it is twice the level. High priority is refused at a full
 * level only.
 */
function chance(level, priority) {
  if (level >= FULL) return level
  if (priority === 'low') return Math.min(1, 2 * level)
  return priority === 'high' ? 0 : level
}

function note(req, guard, { priority, level, retryAfterS, reported }) {
  const state = stateOf(req)
  if (state !== undefined && !reported) state.refused = true
  if (native.shed(reported)) {
    native.shedEvent(guard, routeOf(req), reported ? `reported only, priority ${priority}` : `priority ${priority}`)
  }
  if (channels.shed.hasSubscribers) {
    channels.shed.publish({ req, route: routeOf(req), priority, level, retryAfterS, reported })
  }
}

function settingsOf(given) {
  const where = 'shed()'
  const own = options.object(where, given, OPTIONS)
  const { exempt = EXEMPT, priority = 'normal', retryAfterS = [1, 5], report = false } = own
  const marks = Object.fromEntries(
    Object.entries(MARKS).map(([name, defaults]) => [name, marksOf(`${where}'s ${name}`, name, own[name] ?? defaults)])
  )
  return {
    policy: { heap: marks.heap, rss: marks.rss, delayMs: marks.delayMs, nativeBytes: marks.native },
    isExempt: exemptOf(`${where}'s exempt`, exempt),
    priorityOf: priorityOf(`${where}'s priority`, priority),
    retryAfterS: secondsOf(`${where}'s retryAfterS`, retryAfterS),
    report: options.oneOf(`${where}'s report`, report, [true, false])
  }
}

function marksOf(where, name, given) {
  if (given === false) return undefined
  const [lower, upper] = Array.isArray(given) && given.length === 2 ? given.map(mark => markOf(name, mark)) : []
  if (lower >= 0 && lower < upper && upper <= GREATEST[name]) return { lower, upper }
  const unit = { delayMs: 'milliseconds', native: 'sizes' }[name] ?? 'shares like 0.8'
  return options.fail(where, given, `false, or two marks [lower, upper] with lower below upper, in ${unit}`)
}

function markOf(name, mark) {
  if (name === 'native') return options.size("shed()'s native mark", mark)
  return typeof mark === 'number' ? mark : Number.NaN
}

/** A function that returns whether a request is exempt. */
function exemptOf(where, given) {
  if (typeof given === 'function') return hook(where, given, Boolean, false)
  const paths = typeof given === 'string' ? [given] : given
  if (!Array.isArray(paths) || !paths.every(path => typeof path === 'string' && path.startsWith('/')))
    options.fail(where, given, "a path like '/healthz', an array of these, or a function of the request")
  const exempt = new Set(paths)
  return req => {
    const url = req.originalUrl ?? req.url
    const query = url.indexOf('?')
    return exempt.has(query === -1 ? url : url.slice(0, query))
  }
}

/** A function that returns the priority of a request. */
function priorityOf(where, given) {
  const checked = priority => options.oneOf(where, priority, PRIORITIES)
  if (typeof given === 'function') return hook(where, given, checked, 'normal')
  checked(given)
  return () => given
}

function secondsOf(where, given) {
  const whole = value => Number.isInteger(value) && value >= 0 && value <= 86_400
  if (Array.isArray(given) && given.length === 2 && given.every(whole) && given[0] <= given[1]) return given
  return options.fail(where, given, 'two whole numbers of seconds [from, to], from 0 to 86400')
}

module.exports = shed
/** For `ready()`. */
module.exports.guards = guards
/** Checks options without a start, for lib/register/. */
module.exports.settingsOf = settingsOf
/** The verdict for a level and a priority. */
module.exports.chance = chance
