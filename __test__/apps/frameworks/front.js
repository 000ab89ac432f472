'use strict'

/* The middleware before a framework's app, by the first argument: none, the README's first example, or all. */

const plimsoll = require('../../..')

const fronts = {
  bare: () => [],
  readme: () => [plimsoll(), plimsoll.limit('10kb'), plimsoll.shed(), plimsoll.scope()],
  all: () => [
    plimsoll({ layers: true, async: true, largeResponses: true, watch: true, leaks: { snapshots: true } }),
    plimsoll.limit({ limit: '10kb', inflate: true, budget: '64mb', minRate: '1kb' }),
    plimsoll.shed({ priority: 'low' }),
    plimsoll.scope()
  ]
}

/** Middleware, in its order. */
module.exports = fronts[process.argv[2]]()
