'use strict'

/** The names of the options of `plimsoll()`. */
module.exports = [
  'name',
  'log',
  'urls',
  'recorder',
  'stats',
  'async',
  'layers',
  'nearLimit',
  'leaks',
  'largeResponses',
  'snapshotSignal',
  'watch'
]
