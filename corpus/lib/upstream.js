'use strict'

/* What an app talks to, in a process of its own: its memory and descriptors are not the app's. */

const { fork } = require('node:child_process')
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')

/** More than fits into the buffers of a connection. */
const PAGE = 'x'.repeat(1_000_000)
/** Of a database: how many questions are slow, and how slow. */
const SLOW_EVERY = 10
const SLOW_MS = 40

const kinds = {
  /** Answers with a page. */
  page: () => http.createServer((_req, res) => res.setHeader('ETag', '"1"').end(PAGE)),
  /** Answers without an end. */
  endless: () =>
    http.createServer((_req, res) => {
      const more = () => {
        while (!res.destroyed && res.write('x'.repeat(16_384)));
      }
      res.on('drain', more)
      more()
    }),
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
