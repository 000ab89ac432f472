'use strict'

/** The working directory. Null if it was deleted, when `process.cwd()` throws. */
function workingDirectory() {
  try {
    return process.cwd()
  } catch {
    return null
  }
}

module.exports = { workingDirectory }
