'use strict'

/*
 * What plimsoll has evidence of: it goes into the record, from where stats(), metrics() and `show` have it. Who listens on the
 * channel hears of each once, when it is new.
 */

const channels = require('./channels.js')
const faults = require('./faults.js')
const { native } = require('./native.js')

/**
 * `finding`: `{ kind, route?, origin?, severity, perThousand?, advice }`, the first three of which name it; `times` that it was seen
 * more.
 */
function find(finding, times = 1) {
  try {
    if (!native.finding(finding, times) || !channels.finding.hasSubscribers) return
    channels.finding.publish({ route: null, origin: null, perThousand: null, ...finding })
  } catch (error) {
    faults.report('when something was found', error)
  }
}

module.exports = { find }
