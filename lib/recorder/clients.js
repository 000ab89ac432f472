'use strict'

/*
 * Connections that the servers of this thread have accepted. Node publishes each, so this costs nothing for a request. How
 * many are open is what the servers themselves count.
 */

const channel = require('node:diagnostics_channel')
const { native } = require('../core/addon.js')
const internalErrors = require('../core/internal-errors.js')

/** Servers that are counted. */
const SERVERS = 64

const servers = new Set()
let started = false

function start() {
  if (started) return
  started = true
  channel.subscribe('net.server.socket', accepted)
}

function accepted({ socket }) {
  try {
    native.connected()
    const { server } = socket
    if (server === null || servers.has(server) || servers.size >= SERVERS) return
    servers.add(server)
    server.once('close', () => servers.delete(server))
  } catch (error) {
    internalErrors.report('when a connection was counted', error)
  }
}

/** How many are open. */
function open() {
  let clients = 0
  for (const { _connections: number } of servers) if (number > 0) clients += number
  return clients
}

module.exports = { start, open }
