'use strict'

/* Plimsoll in an app of the corpus, with everything watched: the `setup` of its process. With CORPUS_SNAPSHOTS, the verdict may take snapshots. */

const plimsoll = require('../..')

module.exports = ({ app, emitters, pools }) => {
  const leaks = process.env.CORPUS_SNAPSHOTS ? { snapshots: true } : true
  app.use(plimsoll({ recorder: false, watch: true, leaks }))
  app.use(plimsoll.scope())
  plimsoll.watchListeners(emitters)
  for (const pool of pools) plimsoll.watchPool(pool)
  return {
    stats: () => plimsoll.stats(),
    /** One collection: what V8 does by itself under more load. */
    collect: () => void global.gc()
  }
}
