'use strict'

const http = require('node:http')
const http2 = require('node:http2')
const https = require('node:https')

/** The classes of HTTP/2 servers are not exported, so their prototypes come from servers that never listen. */
const prototypes = [
  http.Server.prototype,
  https.Server.prototype,
  Object.getPrototypeOf(http2.createServer()),
  Object.getPrototypeOf(http2.createSecureServer())
]

/**
 * Calls `chain(req, res, next)` before every `'request'` listener of this process, and `listening(server)` before the
 * `'listening'` listeners of a server.
 */
module.exports = function front(chain, listening = () => {}) {
  for (const prototype of prototypes) {
    const { emit } = prototype
    prototype.emit = function (event, ...args) {
      if (event === 'listening') listening(this)
      if (event !== 'request') return Reflect.apply(emit, this, [event, ...args])
      const [req, res] = args
      let heard = true
      chain(req, res, error => {
        if (error) res.writeHead(error.status ?? 500).end(`refused in front of the suite: ${error.message}\n`)
        else heard = Reflect.apply(emit, this, [event, ...args])
      })
      return heard
    }
  }
}
