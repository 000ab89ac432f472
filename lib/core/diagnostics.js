'use strict'

/*
 * What plimsoll publishes on node:diagnostics_channel. Messages are made only where somebody listens.
 */

const { channel } = require('node:diagnostics_channel')

const channels = {
  limit: channel('plimsoll:limit'),
  shed: channel('plimsoll:shed'),
  'near-limit': channel('plimsoll:near-limit'),
  blocked: channel('plimsoll:blocked'),
  finding: channel('plimsoll:finding')
}

/** What has happened where no JavaScript could run: near V8's limit, in a blocked loop, on other threads. `heard` is called with each. */
function announce(native, heard) {
  const found = native.announcements()
  if (!found) return
  for (const { channel, ...message } of JSON.parse(found)) {
    if (channels[channel].hasSubscribers) channels[channel].publish(message)
    heard(channel, message)
  }
}

module.exports = { limit: channels.limit, shed: channels.shed, finding: channels.finding, announce }
