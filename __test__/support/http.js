'use strict'

const http = require('node:http')
const net = require('node:net')
const { once } = require('node:events')

/** Starts `app` on a free loopback port: `{ port, url, server, close() }`. `close` ends open connections too. */
async function serve(app) {
  const server = app instanceof net.Server ? app : http.createServer(app)
  // By default a connection that was idle for five seconds is closed: on a busy machine just when the test writes the
  // next request to it.
  server.keepAliveTimeout = 600_000
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

/** A raw connection: `{ socket, received() }`. Errors of a connection that is cut on purpose are expected. */
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

const OK = 'HTTP/1.1 200'
const OTHER = /HTTP\/1\.1 (?!200)\d{3}.*/s

/**
 * Sends `count` requests in pipelined bursts on one connection. The next burst follows when all have a response with
 * 200. `path` may be a function of the request's number.
 */
async function pipelined(port, path, count, burst = 50) {
  const { socket } = await connect(port)
  let sent = 0
  let answered = 0
  let tail = ''
  const send = () => {
    const paths = Array.from({ length: Math.min(burst, count - sent) }, (_, i) =>
      typeof path === 'function' ? path(sent + i) : path
    )
    sent += paths.length
    socket.write(paths.map(path => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''))
  }
  await new Promise((resolve, reject) => {
    socket.on('close', () => reject(new Error(`closed after ${answered} of ${count} answers: ${tail}`)))
    socket.on('data', chunk => {
      const text = tail + chunk.toString('latin1')
      answered += text.split(OK).length - 1
      // A status line may arrive in two pieces.
      tail = text.slice(1 - OK.length)
      const other = OTHER.exec(text)
      if (other !== null) reject(new Error(`after ${answered} of ${count} answers: ${other[0]}`))
      if (answered === count) resolve()
      else if (answered === sent) send()
    })
    send()
  })
  socket.destroy()
}

/**
 * Waits until `condition` returns a truthy value, and returns it. The deadline is only for values that never come: a
 * busy machine is slow.
 */
async function until(condition, what, deadlineMs = 60_000) {
  const deadline = Date.now() + deadlineMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

module.exports = { serve, request, connect, pipelined, until }
