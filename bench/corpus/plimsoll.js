'use strict'

/* The `setup` of an app of the corpus: Plimsoll with all watchers. With CORPUS_SNAPSHOTS, it may take heap snapshots. */

const plimsoll = require('../..')

module.exports = ({ app, emitters, pools }) => {
  const leaks = process.env.CORPUS_SNAPSHOTS ? { snapshots: true } : true
  app.use(plimsoll({ recorder: false, watch: true, leaks }))
  app.use(plimsoll.scope())
  plimsoll.watchListeners(emitters)
  for (const pool of pools) plimsoll.watchPool(pool)
  return {
    stats: () => plimsoll.stats(),
    /** Forces one collection, which V8 would do by itself under more load. */
    collect: () => void global.gc()
  }
}
