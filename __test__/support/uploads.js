'use strict'

const { once } = require('node:events')
const http = require('node:http')
const { Readable, pipeline } = require('node:stream')
const { text } = require('node:stream/consumers')
const { connect, until } = require('./http.js')

/** An app's own error page, as JSON. Collects the errors that it receives in `errors`. */
function errorPage(errors) {
  return (error, _req, res, next) => {
    errors.push(error)
    if (res.headersSent) return next(error)
    const { message, type, limit, expected, length, received } = error
    res.status(error.status ?? 500).json({ page: 'own', message, type, limit, expected, length, received })
  }
}

/**
 * Sends a body in pieces, as fast as the server takes it, and returns the response: `{ status, headers, body, json }`.
 * Node's client stops sending when it has the response. A body that must be sent whole uses `wire`.
 */
async function upload(port, path, { method = 'POST', headers = {}, pieces = [], agent } = {}) {
  const own = agent === undefined ? new http.Agent({ keepAlive: true }) : undefined
  try {
    const req = http.request({ host: '127.0.0.1', port, path, method, headers, agent: agent ?? own })
    const responded = once(req, 'response')
    pipeline(Readable.from(pieces, { objectMode: false }), req, () => {})
    const [res] = await responded
    const body = await text(res)
    const json = res.headers['content-type']?.startsWith('application/json') ? JSON.parse(body) : undefined
    return { status: res.statusCode, headers: res.headers, body, json }
  } finally {
    own?.destroy()
  }
}

/** `data` in pieces of these sizes. The rest is the last piece. */
function split(data, sizes) {
  const pieces = []
  let at = 0
  for (const size of sizes) {
    if (at >= data.length) break
    pieces.push(data.subarray(at, at + size))
    at += size
  }
  if (at < data.length) pieces.push(data.subarray(at))
  return pieces
}

/** One chunk of a chunked body, in its encoded form. */
function chunk(data) {
  return Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), Buffer.from(data), Buffer.from('\r\n')])
}

const LAST_CHUNK = '0\r\n\r\n'

/**
 * A connection on which requests are written by hand: `{ socket, write(…parts), responses(count), text(), closed() }`.
 */
async function wire(port, options) {
  const { socket, received } = await connect(port, options)
  let closed = false
  socket.on('close', () => {
    closed = true
  })
  return {
    socket,
    closed: () => closed,
    text: received,
    write(...parts) {
      socket.write(Buffer.concat(parts.map(part => Buffer.from(part))))
    },
    /** The received responses, in order, once there are `count`. */
    async responses(count) {
      const enough = () => {
        const found = parse(received())
        return found.length >= count && found
      }
      return until(enough, `${count} responses`).catch(error => {
        throw new Error(`${error.message}; came: ${JSON.stringify(received())}`)
      })
    }
  }
}

/** The complete responses in a connection's text. Chunked bodies stay encoded. */
function parse(text) {
  const found = []
  for (let rest = text; ; ) {
    const start = rest.indexOf('\r\n\r\n') + 4
    if (start === 3) return found
    const [status, ...lines] = rest.slice(0, start - 4).split('\r\n')
    const headers = Object.fromEntries(lines.map(line => /^(.*?): (.*)$/.exec(line.toLowerCase()).slice(1)))
    const last = rest.indexOf(LAST_CHUNK, start)
    const end = headers['transfer-encoding'] ? last : start + Number(headers['content-length'] ?? 0)
    if (end === -1 || end > rest.length) return found
    found.push({ status: Number(status.split(' ')[1]), headers, body: rest.slice(start, end) })
    rest = rest.slice(end === last ? end + LAST_CHUNK.length : end)
  }
}

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
function random(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

module.exports = { errorPage, upload, split, chunk, LAST_CHUNK, wire, random }
