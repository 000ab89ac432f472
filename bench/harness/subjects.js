'use strict'

const path = require('node:path')

// What is compared, in the order of the tables. `file` exports { packages, create() }, see servers/bare.js.
// `only`: the one measurement that has this subject.
const SUBJECTS = [
  { name: 'bare', title: 'bare Express 5' },
  { name: 'noop', title: 'two middlewares that do nothing', only: 'inprocess' },
  { name: 'plimsoll', title: '`plimsoll()`' },
  { name: 'plimsoll-limit', title: '`plimsoll()` + `limit()`' },
  { name: 'express-prom-bundle', title: '`express-prom-bundle`' },
  { name: 'swagger-stats', title: '`swagger-stats`' },
  { name: 'opentelemetry', title: 'OpenTelemetry http + express, metrics' }
].map(subject => ({ ...subject, file: path.join(__dirname, '..', 'servers', subject.name) }))

const BARE = SUBJECTS[0]

// The bare app is always included, since all others are compared with it.
function choose(names, measurement) {
  return SUBJECTS.filter(
    subject => subject === BARE || (names.includes(subject.name) && (subject.only ?? measurement) === measurement)
  )
}

// Each round starts with the next subject, so that a position in the order favours none.
function rotated(list, round) {
  const at = round % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}

// For short turns, where the previous subject affects the CPU caches.
function shuffled(list) {
  const shuffled = [...list]
  for (let at = shuffled.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1))
    ;[shuffled[at], shuffled[other]] = [shuffled[other], shuffled[at]]
  }
  return shuffled
}

module.exports = { BARE, SUBJECTS, choose, rotated, shuffled }
