'use strict'

/*
 * What every request of the process passes before the listeners of its server: the tracker, and the guards that the
 * configuration names. They are the public functions, so an app's own `plimsoll()` and this one are one.
 */

const { answer } = require('../core/plain-answer.js')

/** What a client reads if a guard throws. The body must not pass unchecked. */
const FAILED = { status: 500, message: 'Internal Server Error' }

/**
 * Returns `receive(server, args, emit)`: it emits a request, in the span of the tracker, unless a guard refuses it.
 * `guards` are middleware. `failed(error)` is called if one throws.
 */
function front(tracker, guards, failed) {
  return guards.length === 0 ? tracked : guarded

  function tracked(server, args, emit) {
    let result = false
    tracker(args[1], args[2], () => {
      result = Reflect.apply(emit, server, args)
    })
    return result
  }

  function guarded(server, args, emit) {
    const [, req, res] = args
    // The app's listener of `checkContinue` emits the request again.
    if (seen.has(req)) return Reflect.apply(emit, server, args)
    seen.add(req)
    let result = true
    tracker(req, res, () => {
      pass(0, req, res, () => {
        result = Reflect.apply(emit, server, args)
      })
    })
    return result
  }

  /** No code of the app runs in the `try`: what it throws must be thrown from there. */
  function pass(from, req, res, handle) {
    for (let at = from; at < guards.length; at++) {
      let outcome = 'waiting'
      let refusal
      try {
        guards[at](req, res, error => {
          if (outcome === 'late') return proceed(error, at + 1, req, res, handle)
          outcome = 'passed'
          refusal = error
        })
      } catch (error) {
        failed(error)
        return refuse(req, res, FAILED)
      }
      if (outcome === 'waiting') {
        outcome = 'late'
        return
      }
      if (refusal) return refuse(req, res, refusal)
    }
    handle()
  }

  function proceed(error, at, req, res, handle) {
    if (error) refuse(req, res, error)
    else pass(at, req, res, handle)
  }
}

const seen = new WeakSet()

function refuse(req, res, error) {
  if (!res.headersSent && !res.writableEnded) answer(req, res, error)
}

module.exports = { front }
