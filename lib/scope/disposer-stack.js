'use strict'

/*
 * Disposers that run at the end of a request, last in first out, each once. Each waits for the previous one, as with
 * `await using` (a rollback before its connection is released). The wait is bounded: a disposer that does not settle in
 * time is reported and skipped. One that throws is reported at once.
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

  /** `origin()` returns the call site that added it. It is called for reports only. */
  add(work, origin = nowhere) {
    this.list.push({ work, origin })
  }

  /** Runs the disposers. Those that are added while it runs are run as well. */
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
      // A promise that never settles retains these functions. They must not retain the stack of the request.
      origin = nowhere
      clearTimeout(timer)
      this.goOn()
    }
    const timer = setTimeout(() => {
      this.report(origin, `did not settle within ${this.waitMs} ms`)
      next()
    }, this.waitMs)
    // The end of a request must not keep the process alive.
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
      momentary: true,
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

/** The message may contain a user's data. Name and code are enough to find the error. */
function thrown(error) {
  return `failed with ${describe.kind(error)}`
}

module.exports = { Disposals }
