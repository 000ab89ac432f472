'use strict'

/*
 * Large responses that were built in memory instead of streamed: `res.send`, `res.json` or `res.end` with one large
 * chunk. An app that sends a hundred of them at once retains a hundred of them.
 */

const { FRAMES, take } = require('../core/call-site.js')
const { placeOfCode } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const { handlerOf, routeOf } = require('../express/route-tracker.js')
const { find } = require('../recorder/findings.js')

const METHODS = ['write', 'end']
const MIB = 2 ** 20

/** By route: the call site that sends the response. It is determined once, because that costs a stack trace. */
const origins = new Map()
/** Routes whose call sites are remembered. For other routes the call site is determined each time. */
const ROUTES = 1024

/** Checks the size of what a request sends. */
function watch(state, over) {
  const { req, res } = state
  let seen = false
  for (const method of METHODS) {
    const original = res[method]
    if (typeof original !== 'function') continue
    res[method] = function (...args) {
      const bytes = seen ? 0 : bytesOf(args[0], args[1])
      if (bytes >= over && req.method !== 'HEAD') {
        seen = true
        note(state, bytes)
      }
      return Reflect.apply(original, this, args)
    }
  }
}

function bytesOf(chunk, encoding) {
  if (typeof chunk === 'string') return Buffer.byteLength(chunk, typeof encoding === 'string' ? encoding : 'utf8')
  return ArrayBuffer.isView(chunk) ? chunk.byteLength : 0
}

function note(state, bytes) {
  try {
    const route = routeOf(state.req)
    const key = `${state.req.method} ${route}`
    let origin = origins.get(key)
    if (origin === undefined) {
      origin = placeOfCode(take(note, FRAMES), handlerOf(state))
      if (origins.size < ROUTES) origins.set(key, origin)
    }
    find({
      kind: 'large-response',
      momentary: true,
      route: route === null ? undefined : key,
      origin: origin ?? undefined,
      severity: 'warning',
      advice:
        `a response of ${(bytes / MIB).toFixed(1)} MiB is built in memory and sent in one piece. ` +
        'Stream it (pipeline from the source into res), or send it in pages. Each request in flight retains one'
    })
  } catch (error) {
    internalErrors.report('when a response was checked', error)
  }
}

module.exports = { watch }
