'use strict'

const http = require('node:http')
const net = require('node:net')
const { once } = require('node:events')

/** Starts `app` on a free loopback port: `{ port, url, server, close() }`; `close` ends open connections too. */
async function serve(app) {
  const server = app instanceof net.Server ? app : http.createServer(app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  return {
    server,
    port,
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

/** One request with everything read: `{ status, headers, body }`. `body` may be a string, a Buffer or an array of chunks (sent chunked). */
function request(port, path, { method = 'GET', headers = {}, body, agent } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request({ host: '127.0.0.1', port, path, method, headers, agent })
    req.on('response', res => {
      const chunks = []
      res.on('data', chunk => chunks.push(chunk))
      res.on('end', () =>
        resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks).toString() })
      )
      res.on('error', reject)
    })
    req.on('error', reject)
    if (Array.isArray(body)) for (const chunk of body) req.write(chunk)
    req.end(Array.isArray(body) ? undefined : body)
  })
}

/** A raw connection: `{ socket, received() }`; errors of a connection that is cut on purpose are expected. */
async function connect(port, options = {}) {
  const socket = net.connect({ port, host: '127.0.0.1', ...options })
  let text = ''
  socket.on('data', chunk => {
    text += chunk
  })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return { socket, received: () => text }
}

/** Waits until `condition` returns something truthy, and returns it. */
async function until(condition, what, deadlineMs = 15_000) {
  const deadline = Date.now() + deadlineMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

module.exports = { serve, request, connect, until }
