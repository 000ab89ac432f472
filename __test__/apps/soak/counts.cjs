'use strict'

/* What is not to be seen on the heap alone: one route each. A function that makes a request listener. */

const { openSync } = require('node:fs')

module.exports = async function make() {
  // What two routes share: each puts its own in the place of the other's.
  const shared = new Array(50).fill(null)
  let next = 0
  return (req, res) => {
    const { pathname } = new URL(req.url, 'http://localhost')
    if (pathname === '/descriptors') openSync('/dev/null')
    if (pathname === '/timers') setTimeout(() => {}, 3_600_000)
    if (pathname === '/listeners') process.on('SIGWINCH', () => {})
    if (pathname === '/large' || pathname === '/small') {
      shared[next++ % shared.length] = new Array(pathname === '/large' ? 4000 : 1).fill(0.5)
    }
    res.end()
  }
}
