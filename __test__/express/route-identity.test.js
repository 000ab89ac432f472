'use strict'

const plimsoll = require('../..')
const { compare } = require('../support/trees.js')

compare('plimsoll()', plimsoll(), () => plimsoll.stats().faults)
