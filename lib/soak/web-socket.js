'use strict'

/*
 * A WebSocket client (RFC 6455), as far as a load test needs one: it opens a connection, sends one message, and closes.
 */

const { randomBytes } = require('node:crypto')

const TEXT = 0x81
const BINARY = 0x82
const CLOSE = 0x88
/** 1000: a normal closure. */
const NORMAL = Buffer.from([0x03, 0xe8])

/** The headers of an opening handshake. */
function handshake(headers) {
  return {
    ...headers,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64')
  }
}

/** A masked frame. */
function frame(kind, payload) {
  const { length } = payload
  const head = [kind]
  if (length < 126) head.push(0x80 | length)
  else if (length < 65_536) head.push(0x80 | 126, length >> 8, length & 0xff)
  else head.push(0x80 | 127, 0, 0, 0, 0, length >>> 24, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff)
  const mask = randomBytes(4)
  const masked = Buffer.from(payload)
  for (let i = 0; i < length; i++) masked[i] ^= mask[i % 4]
  return Buffer.concat([Buffer.from(head), mask, masked])
}

function sendMessage(socket, body) {
  const [kind, payload] = Buffer.isBuffer(body) ? [BINARY, body] : [TEXT, Buffer.from(body)]
  socket.write(frame(kind, payload))
}

/** Closes the connection as the protocol asks. Resolves when the server has closed it. */
function close(socket) {
  return new Promise(resolve => {
    socket.once('close', resolve)
    // The server answers with a close frame and ends the connection.
    socket.once('end', () => socket.end())
    socket.resume()
    socket.write(frame(CLOSE, NORMAL))
  })
}

module.exports = { handshake, sendMessage, close }
