'use strict'

const path = require('node:path')

// What is compared, in the order of the tables. `file` exports { packages, create() }, see servers/bare.js.
// `patchesProcess`: changes Express for the whole process, so it cannot stand beside a bare app in one.
const SUBJECTS = [
  { name: 'bare', title: 'bare Express 5' },
  { name: 'plimsoll', title: '`plimsoll()`' },
  { name: 'plimsoll-limit', title: '`plimsoll()` + `limit()`' },
  { name: 'express-prom-bundle', title: '`express-prom-bundle`' },
  { name: 'swagger-stats', title: '`swagger-stats`' },
  { name: 'opentelemetry', title: 'OpenTelemetry http + express, metrics', patchesProcess: true }
].map(subject => ({ ...subject, file: path.join(__dirname, '..', 'servers', subject.name) }))

const BARE = SUBJECTS[0]

// The bare app is always among them: every other figure is read against it.
function choose (names) {
  for (const name of names) {
    if (!SUBJECTS.some(subject => subject.name === name)) {
      throw new Error(`no server '${name}'; there are ${SUBJECTS.map(subject => subject.name).join(', ')}`)
    }
  }
  return SUBJECTS.filter(subject => subject === BARE || names.includes(subject.name))
}

// Each round starts one further on, so that no subject always runs in the shadow of the same neighbour.
function rotated (list, round) {
  const at = round % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}

module.exports = { BARE, SUBJECTS, choose, rotated }
