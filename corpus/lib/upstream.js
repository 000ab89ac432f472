'use strict'

/* A server that an app sends requests to. It has its own process, so its memory does not count as the app's. */

const { fork } = require('node:child_process')
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')

const PIECE = 'x'.repeat(16_384)
/** In pieces. More than the buffers of a connection hold. */
const PAGE = 64
/** One in ten queries of the database is slow. */
const SLOW_EVERY = 10
const SLOW_MS = 40

const kinds = {
  /** Sends a page. */
  page: () => http.createServer((_req, res) => answer(res.setHeader('ETag', '"1"'), PAGE)),
  /** Sends a response without an end. */
  endless: () => http.createServer((_req, res) => answer(res, Number.POSITIVE_INFINITY)),
  /** Returns each line that it receives. */
  database() {
    let asked = 0
    return net.createServer(socket => {
      socket.on('error', () => {})
      socket.on('data', line => {
        asked += 1
        setTimeout(() => socket.writable && socket.write(line), asked % SLOW_EVERY === 0 ? SLOW_MS : 0)
      })
    })
  }
}

/** Writes the next piece when the last one was read. So a response without a reader does not fill this process. */
function answer(res, pieces) {
  let left = pieces
  const more = () => {
    while (left > 0 && !res.destroyed) {
      left -= 1
      if (!res.write(PIECE)) return
    }
    res.end()
  }
  res.on('drain', more)
  more()
}

/** Starts a server and returns its port. The server ends with this process. */
async function upstream(kind) {
  const child = fork(__filename, [kind], { execArgv: [] })
  const [port] = await once(child, 'message')
  child.unref()
  child.channel.unref()
  return port
}

if (require.main === module) {
  const server = kinds[process.argv[2]]()
  server.listen(0, '127.0.0.1', () => process.send(server.address().port))
  process.on('disconnect', () => process.exit())
} else {
  module.exports = { upstream }
}
