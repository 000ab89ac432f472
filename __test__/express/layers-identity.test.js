'use strict'

const plimsoll = require('../..')
const { compare } = require('../support/trees.js')

// The options of the first call in a thread apply, so this is a file of its own.
compare(
  'plimsoll({ layers: true, async: true })',
  plimsoll({ layers: true, async: true }),
  () => plimsoll.stats().faults
)
