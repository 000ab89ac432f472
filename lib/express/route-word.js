'use strict'

/*
 * Whether a segment of a client's URL looks like a word of a route: `users`, `v2`, `oauth2`, `.well-known`,
 * `index.html`. Any other segment may be a secret or identify a person. The rule is that of src/ledger/path.rs.
 */

const LONGEST_SEGMENT = 32
/** Digits come before or after the letters of a word. */
const WORD = /^(?:[a-z]{0,16}\d{0,3}|\d{0,3}[a-z]{0,16})$/
/** Digits in all words of a segment. */
const MOST_DIGITS = 3

function isRouteWord(segment) {
  if (segment.length > LONGEST_SEGMENT) return false
  return segment.replace(/\D/g, '').length <= MOST_DIGITS && segment.split(/[-_.]/).every(word => WORD.test(word))
}

module.exports = isRouteWord
