'use strict'

/* A chain, not a list: nothing else grows with it. */

class Link {
  constructor(before) {
    this.before = before
    this.doubles = new Array(512).fill(0.5)
  }
}

let newest = null

// What stays is allocated here.
function keep() {
  newest = new Link(newest)
}

/**
 * The layout of a link in V8 on 64 bits without pointer compression: header and two properties, the array, its
 * elements.
 */
const BYTES = (3 + 2) * 8 + 4 * 8 + 2 * 8 + 512 * 8

module.exports = { keep, BYTES }
