'use strict'

/** The working directory; null where it was deleted, which `process.cwd()` answers with an exception. */
function workingDirectory() {
  try {
    return process.cwd()
  } catch {
    return null
  }
}

module.exports = { workingDirectory }
