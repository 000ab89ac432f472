'use strict'

/*
 * Connections that the servers of this thread have accepted. Node publishes each, so this costs nothing for a request. How
 * many are open is what the servers themselves count.
 */

const channel = require('node:diagnostics_channel')
const internalErrors = require('../core/internal-errors.js')

/** Servers that are counted. */
const SERVERS = 64

const servers = new Set()
let connections = 0
let started = false

function start() {
  if (started) return
  started = true
  channel.subscribe('net.server.socket', accepted)
}

function accepted({ socket }) {
  try {
    connections += 1
    const { server } = socket
    if (server === null || servers.has(server) || servers.size >= SERVERS) return
    servers.add(server)
    server.once('close', () => servers.delete(server))
  } catch (error) {
    internalErrors.report('when a connection was counted', error)
  }
}

/** `{ connections, clients }`: accepted so far, and open now. */
function counts() {
  let clients = 0
  for (const { _connections: open } of servers) if (open > 0) clients += open
  return { connections, clients }
}

module.exports = { start, counts }
