'use strict'

/*
 * Reports at a start how the last process died.
 */

const { warn } = require('../core/logger.js')

/** Causes of death by memory. */
const MEMORY = ['heap limit', 'cgroup OOM']
const WARNED = [...MEMORY, 'uncaught exception', 'blocked loop']
const CODE = 'PLIMSOLL_LAST_DEATH'
const PLAIN = /^[\w@%+=:,./-]+$/

/** Warns if something can be fixed. Logs one line if the process was killed, and nothing if it was stopped. */
function report(death, settings) {
  if (isOrdinary(death)) return
  const text = `plimsoll: the last process of "${settings.name}" died: ${death.cause}. ${sentences(death, settings).join(' ')}`
  if (WARNED.includes(death.cause)) warn(settings.log, text, CODE)
  else settings.log?.info(text)
}

function isOrdinary({ cause, exitCode }) {
  return cause === 'stop' || (cause === 'exit' && exitCode === 0)
}

function sentences(death, settings) {
  const { evidence, cause, finding, heaviest } = death
  const all = [evidence]
  if (MEMORY.includes(cause)) {
    if (finding !== null) all.push(`Open finding: ${named(finding.route)}${finding.advice}.`)
    if (heaviest !== null) all.push(`Heaviest route: ${weight(heaviest)}.`)
  }
  all.push(`Read more: npx plimsoll show ${target(death, settings)}`)
  return all
}

function named(route) {
  return route === null ? '' : `${route}: `
}

function weight({ method, route, heapBytes, requests, inFlight }) {
  const mib = (heapBytes / 2 ** 20).toFixed(heapBytes < 10 * 2 ** 20 ? 1 : 0)
  const of = inFlight ? 'by one request in flight' : `per request, ${requests} requests`
  return `${method} ${route} (${mib} MiB allocated ${of})`
}

/** The command resolves names in the default folder of records. */
function target({ path }, { name, recorder }) {
  const word = recorder.dir === (process.env.PLIMSOLL_DIR || undefined) ? name : path
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

module.exports = { report }
