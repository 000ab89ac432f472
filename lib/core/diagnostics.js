'use strict'

/*
 * The node:diagnostics_channel channels that Plimsoll publishes. Messages are created only if there are subscribers.
 */

const { channel } = require('node:diagnostics_channel')

const channels = {
  limit: channel('plimsoll:limit'),
  shed: channel('plimsoll:shed'),
  'near-limit': channel('plimsoll:near-limit'),
  blocked: channel('plimsoll:blocked'),
  finding: channel('plimsoll:finding')
}

/**
 * Publishes events from times when no JavaScript could run: near V8's limit, in a blocked loop, on other threads.
 * `onMessage` is called with each.
 */
function announce(native, onMessage) {
  const found = native.announcements()
  if (!found) return
  for (const { channel, ...message } of JSON.parse(found)) {
    if (channels[channel]?.hasSubscribers) channels[channel].publish(message)
    onMessage(channel, message)
  }
}

module.exports = { limit: channels.limit, shed: channels.shed, finding: channels.finding, announce }
