'use strict'

/* The child's end for a server that a framework starts itself. */

const listen = require('../support.js')

module.exports = function serve(server) {
  const started = {
    listen(_port, _host, listening) {
      setImmediate(listening)
      return server
    }
  }
  listen(started, {
    /** Closes only the server: the process must end by itself. */
    end() {
      server.close()
      server.closeAllConnections()
      process.channel.unref()
    }
  })
}
