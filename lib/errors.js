'use strict'

/*
 * The errors that guards hand to `next`: http-errors' shape and body-parser's types, so that handlers written for those work
 * unchanged.
 */

const createError = require('http-errors')

/** 413. `length` is what was declared (then `expected` says so too), `received` what was counted. */
function tooLarge({ limit, length, received }) {
  const detail = length === undefined ? { received } : { expected: length, length }
  return createError(413, 'request entity too large', { type: 'entity.too.large', limit, ...detail })
}

module.exports = { tooLarge }
