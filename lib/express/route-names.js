'use strict'

/*
 * Routes that are named by hand, with `plimsoll.route(req, 'GET /x/{id}')`: where no router of Express leads to the handler
 * (GraphQL, LoopBack, polka, plain `http`), or where the app knows a better name.
 */

const options = require('../core/options.js')
const { LABEL_LENGTH } = require('./route-tree.js')

/** As many as the record has rows. */
const NAMES = 1024
const LABEL_BYTES = 4096
/** Figures have the method already: it is dropped before a path, and where it is the request's own. */
const METHOD = /^([A-Z]+(?:-[A-Z]+)*) +(?=(.))/

const entries = new Map()
const OTHER = { label: '(other)', id: -1 }
/** Names of requests that are not observed yet; null while there has been none. */
let early = null

/** The entry of a name, `{ label, id }`. */
function entryOf(req, label) {
  if (typeof req !== 'object' || req === null || typeof req.method !== 'string')
    options.fail("route()'s request", req, 'a request of node:http, node:https or node:http2')
  options.string("route()'s label", label, LABEL_BYTES)
  const shown = shorten(label.trim(), req.method)
  let entry = entries.get(shown)
  if (entry === undefined) {
    if (entries.size >= NAMES) return OTHER
    entry = { label: shown, id: -1 }
    entries.set(shown, entry)
  }
  return entry
}

function shorten(label, method) {
  const found = METHOD.exec(label)
  const rest = found !== null && (found[1] === method || found[2] === '/') ? label.slice(found[0].length) : label
  return rest.slice(0, LABEL_LENGTH) || '/'
}

/** Keeps a name until its request is observed. */
function keep(req, entry) {
  early ??= new WeakMap()
  early.set(stateOf(req), entry)
}

/** The name that was kept for a request; null where there is none. */
function take(req) {
  return early === null ? null : (early.get(stateOf(req)) ?? null)
}

/** Frameworks put objects in front of a request that share its stream. */
function stateOf(req) {
  return req._readableState ?? req
}

module.exports = { entryOf, keep, take }
