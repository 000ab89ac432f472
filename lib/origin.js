'use strict'

/*
 * Places in the app's code, as they are shown: `src/users.js:12`, as seen from where the process runs.
 */

const path = require('node:path')
const { fileURLToPath } = require('node:url')

/** Of a place the record keeps so much; its end tells more than its beginning. */
const PLACE_LENGTH = 100
const FRAMES = 50
const FRAME = /\(?([^()\s][^()]*):(\d+):\d+\)?$/

/** A script, by path or `file:` URL, and a line. */
function placeOf(script, line) {
  const place = `${shown(script)}:${line}`
  return place.length <= PLACE_LENGTH ? place : `\u2026${place.slice(1 - PLACE_LENGTH)}`
}

function shown(script) {
  const file = script.startsWith('file:') ? fileURLToPath(script) : script
  const relative = path.isAbsolute(file) ? path.relative(process.cwd(), file) : file
  if (!relative.startsWith('..')) return relative
  // Hoisted modules of a monorepo: where they lie is not what tells.
  const module = file.lastIndexOf(`${path.sep}node_modules${path.sep}`)
  return module === -1 ? file : file.slice(module + 1)
}

/** Where the app's own code calls from: not Node's, not a module's, not plimsoll's. Costs some µs; null if there is none. */
function caller() {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = FRAMES
  const { stack } = new Error()
  Error.stackTraceLimit = limit
  for (const line of String(stack).split('\n').slice(1)) {
    const [, script, number] = FRAME.exec(line.trim().replace(/^at (?:async )?/, '')) ?? []
    if (script === undefined || script.startsWith('node:') || script.startsWith(__dirname)) continue
    if (!script.includes(`${path.sep}node_modules${path.sep}`)) return placeOf(script, number)
  }
  return null
}

module.exports = { placeOf, caller }
