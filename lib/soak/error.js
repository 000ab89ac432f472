'use strict'

/** There is no verdict, because of the app, its responses or the call. It is never a bug of Plimsoll. */
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
