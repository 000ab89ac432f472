'use strict'

/*
 * Routes that are named by hand with `plimsoll.route(req, 'GET /x/{id}')`. This is for handlers without an Express
 * router (GraphQL, LoopBack, polka, plain `http`), and for apps that know a better name.
 */

const options = require('../core/options.js')
const { LABEL_LENGTH } = require('./route-tree.js')

/** The number of rows in the record. */
const NAMES = 1024
/** Characters of a name that are read: more than a label has, because a method and spaces may precede it. */
const READ_CHARS = 1024
/** Characters that would break or reverse a printed line. */
const CONTROLS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu
/** Figures include the method already. It is removed before a path, and if it is the request's own. */
const METHOD = /^([A-Z]+(?:-[A-Z]+)*) +(?=(.))/

const entries = new Map()
const OTHER = { label: '(other)', id: -1 }
/** Names of requests that are not observed yet. Null until there is one. */
let early = null

/**
 * The entry of a name, `{ label, id }`. Null for a name without a character. Only a wrong type throws: the text may
 * come from a client, and the caller is a handler of the app.
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

/** On one line, with invisible characters replaced by U+FFFD. */
function cleaned(label) {
  return label.slice(0, READ_CHARS).trim().toWellFormed().replace(CONTROLS, '\ufffd')
}

function shorten(label, method) {
  const found = METHOD.exec(label)
  const rest = found !== null && (found[1] === method || found[2] === '/') ? label.slice(found[0].length) : label
  // A surrogate pair is not split.
  const end = rest.codePointAt(LABEL_LENGTH - 1) > 0xffff ? LABEL_LENGTH - 1 : LABEL_LENGTH
  return rest.slice(0, end)
}

/** Stores a name until its request is observed. */
function keep(req, entry) {
  early ??= new WeakMap()
  early.set(stateOf(req), entry)
}

/** The stored name of a request, or null. */
function take(req) {
  return early === null ? null : (early.get(stateOf(req)) ?? null)
}

/** Frameworks wrap a request in objects that share its stream. */
function stateOf(req) {
  return req._readableState ?? req
}

module.exports = { entryOf, keep, take }
