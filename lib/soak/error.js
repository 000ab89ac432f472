'use strict'

/** There is no verdict: what was wrong with the app, its answers or the call, never a bug of ours. */
class SoakError extends Error {
  constructor(message, options) {
    super(`plimsoll: soak: ${message}`, options)
    this.code = 'ERR_PLIMSOLL_SOAK'
  }

  get name() {
    return 'SoakError'
  }
}

module.exports = { SoakError }
