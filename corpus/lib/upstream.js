'use strict'

/* What an app talks to, in a process of its own: its memory and descriptors are not the app's. */

const { fork } = require('node:child_process')
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')

const PIECE = 'x'.repeat(16_384)
/** More pieces than fit into the buffers of a connection. */
const PAGE = 64
/** Of a database: how many questions are slow, and how slow. */
const SLOW_EVERY = 10
const SLOW_MS = 40

const kinds = {
  /** Answers with a page. */
  page: () => http.createServer((_req, res) => answer(res.setHeader('ETag', '"1"'), PAGE)),
  /** Answers without an end. */
  endless: () => http.createServer((_req, res) => answer(res, Number.POSITIVE_INFINITY)),
  /** A line for a line, one in ten late. */
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

/** Piece by piece, as they are taken: what nobody reads is not to fill this process. */
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

/** Starts one; its port. It ends with this process. */
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
