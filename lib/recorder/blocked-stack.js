'use strict'

/*
 * The self-test for the stack of a blocked event loop. V8 is asked for an interrupt of this thread. Stacks are captured
 * later only if V8 has run the interrupt, and has named the function, the script and the line that Node names.
 */

const { native } = require('../core/addon.js')
const { first, take } = require('../core/call-site.js')

/** V8 checks for interrupts at each of these steps. */
const STEPS = 1000

/** Call this once the recording has begun. */
function examine() {
  const reason = interrupted()
  if (reason !== null) native.blockedFailed(reason)
}

/** Runs until V8 has run the interrupt. Returns what is wrong, or null. */
function interrupted() {
  const from = first(take())
  const reason = native.blockedTrial()
  if (reason) return reason
  let found = null
  for (let step = 0; step < STEPS && !found; step++) found = native.blockedTrialFrame()
  const to = first(take())
  if (!found) return 'V8 has run no interrupt'
  const named = site => site?.getFileName() === found.script && site.getFunctionName() === found.function
  const right = named(from) && named(to) && from.getLineNumber() < found.line && found.line < to.getLineNumber()
  return right ? null : `V8 has named ${found.function} (${found.script}:${found.line})`
}

module.exports = { examine }
