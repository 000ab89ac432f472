'use strict'

/*
 * Routes that are named by hand, with `plimsoll.route(req, 'GET /x/{id}')`: where no router of Express leads to the handler
 * (GraphQL, LoopBack, polka, plain `http`), or where the app knows a better name.
 */

const options = require('../core/options.js')
const { LABEL_LENGTH } = require('./route-tree.js')

/** As many as the record has rows. */
const NAMES = 1024
/** Characters of a name that are read: more than a label, for a method and spaces in front. */
const READ_CHARS = 1024
/** Those that would break a line, or reverse it, where a label is printed. */
const CONTROLS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu
/** Figures have the method already: it is dropped before a path, and where it is the request's own. */
const METHOD = /^([A-Z]+(?:-[A-Z]+)*) +(?=(.))/

const entries = new Map()
const OTHER = { label: '(other)', id: -1 }
/** Names of requests that are not observed yet; null while there has been none. */
let early = null

/**
 * The entry of a name, `{ label, id }`; null for a name without a character. Only a wrong type throws: the text may be a client's, and the
 * caller is a handler of the app.
 */
function entryOf(req, label) {
  if (typeof req !== 'object' || req === null || typeof req.method !== 'string')
    options.fail("route()'s request", req, 'a request of node:http, node:https or node:http2')
  if (typeof label !== 'string') options.fail("route()'s label", label, 'a string')
  const shown = shorten(cleaned(label), req.method)
  if (shown === '') return null
  let entry = entries.get(shown)
  if (entry === undefined) {
    if (entries.size >= NAMES) return OTHER
    entry = { label: shown, id: -1 }
    entries.set(shown, entry)
  }
  return entry
}

/** On one line, and with what cannot be seen shown as U+FFFD. */
function cleaned(label) {
  return label.slice(0, READ_CHARS).trim().toWellFormed().replace(CONTROLS, '\ufffd')
}

function shorten(label, method) {
  const found = METHOD.exec(label)
  const rest = found !== null && (found[1] === method || found[2] === '/') ? label.slice(found[0].length) : label
  // A character of two units is not cut in its middle.
  const end = rest.codePointAt(LABEL_LENGTH - 1) > 0xffff ? LABEL_LENGTH - 1 : LABEL_LENGTH
  return rest.slice(0, end)
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
