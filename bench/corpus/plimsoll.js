'use strict'

/* Plimsoll in an app of the corpus, with everything watched: the `setup` of its process. */

const plimsoll = require('../..')

module.exports = ({ app, emitters, pools }) => {
  app.use(plimsoll({ recorder: false, watch: true }))
  app.use(plimsoll.scope())
  plimsoll.watchListeners(emitters)
  for (const pool of pools) plimsoll.watchPool(pool)
  return { stats: () => plimsoll.stats() }
}
