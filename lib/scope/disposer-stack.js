'use strict'

/*
 * What is to be done at the end of a request, last in first out, each once. One waits for the one before it, as `await using` would have
 * it (a rollback before its connection is released), but not for ever: one that has not settled in time is reported and no longer waited
 * for, and one that throws is reported at once.
 */

const describe = require('../core/describe.js')
const internalErrors = require('../core/internal-errors.js')
const { find } = require('../recorder/findings.js')

class Disposals {
  constructor(waitMs) {
    this.waitMs = waitMs
    this.list = []
    this.running = false
    this.title = undefined
  }

  /** `origin()` tells where it comes from, if somebody must know. */
  add(work, origin = nowhere) {
    this.list.push({ work, origin })
  }

  /** Does what there is to do. What has been added while it runs is done as well. */
  run(title = this.title) {
    this.title = title
    if (this.running) return
    this.running = true
    this.goOn()
  }

  goOn() {
    while (this.list.length > 0) {
      const { work, origin } = this.list.pop()
      try {
        const result = work()
        if (typeof result?.then === 'function') return this.wait(result, origin)
      } catch (error) {
        this.report(origin, thrown(error))
      }
    }
    this.running = false
  }

  wait(result, known) {
    let waiting = true
    let origin = known
    const next = () => {
      if (!waiting) return
      waiting = false
      // A promise that never settles keeps these functions: they must not keep the stack of the request.
      origin = nowhere
      clearTimeout(timer)
      this.goOn()
    }
    const timer = setTimeout(() => {
      this.report(origin, `did not settle within ${this.waitMs} ms`)
      next()
    }, this.waitMs)
    // The end of a request must not keep the process.
    timer.unref()
    try {
      result.then(next, error => {
        this.report(origin, thrown(error))
        next()
      })
    } catch (error) {
      this.report(origin, thrown(error))
      next()
    }
  }

  report(origin, what) {
    let place
    try {
      place = origin() ?? undefined
    } catch (error) {
      internalErrors.report('when a call site was read', error)
    }
    find({
      kind: 'disposer',
      route: this.title,
      origin: place,
      severity: 'warning',
      advice: `a resource of the request's scope may still be open: its disposer ${what}`
    })
  }
}

function nowhere() {
  return undefined
}

/** The message may hold what belongs to a user: name and code are enough to find it. */
function thrown(error) {
  return `failed with ${describe.kind(error)}`
}

module.exports = { Disposals }
